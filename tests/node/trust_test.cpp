// The way to trust through whole servers in the simulated world: guests, vouches, clips, reviews, and what
// follows for storage. Clips are any bytes here: looking into them is the doors' business.
#include "servers.h"

namespace spatter {
namespace {

NewNetwork reviewed(unsigned reviewers) {
  NewNetwork network;
  network.rules = TrustRules::reviewed();
  network.rules->reviewers = reviewers;
  network.rules->vouches_needed = reviewers / 2 + 1;
  return network;
}

class TrustTest : public ServerTest {
 public:
  static constexpr Duration epoch = 1h;

  Task<Result<void>> found(NewNetwork network) {
    CO_TRY_VOID(co_await node().init({}, std::move(network)));
    co_return co_await nodes[0]->up();
  }
  Task<Result<void>> found(unsigned reviewers) { return found(reviewed(reviewers)); }
  static PersonId person(SimServer& node) { return node.server->identity().person; }
  static Standing::State state(SimServer& at, SimServer& of) {
    return at.server->trust().standings().of(person(of)).state;
  }
  Task<Result<void>> wait_for(std::string what, std::function<bool()> reached) {
    for (int i = 0; i < 1200; ++i) {
      if (reached()) co_return Result<void>{};
      co_await world.sleep(500ms);
    }
    co_return fail(Errc::timeout, "it never came about that {}", what);
  }
  /// A new person's server, let in by `from`, who vouches for him.
  Task<Result<SimServer*>> guest(SimServer& from) {
    CO_TRY(auto link, co_await invite(from));
    auto& next = node();
    CO_TRY_VOID(co_await next.join(link));
    CO_TRY_VOID(co_await next.up());
    CO_TRY_VOID(co_await wait_for("the guest is vouched for", [&] {
      const auto& clips = next.server->trust().standings().clips;
      return std::ranges::any_of(clips, [&](const auto& one) { return one.second.subject == person(next); });
    }));
    EXPECT_EQ(state(from, next), Standing::State::guest);
    co_return &next;
  }
  static Bytes clip_of(std::uint64_t seed) {
    Bytes clip(600'000);
    SeededRandom(seed).fill(clip);
    return clip;
  }
  Task<Result<Digest>> announce(SimServer& at, std::uint64_t seed) {
    CO_TRY(const auto phrase, co_await at.server->trust_desk().phrase());
    EXPECT_EQ(std::ranges::count(phrase.key_words, ' '), 11);
    co_return co_await at.server->trust_desk().announce(clip_of(seed));
  }
  /// The first who is asked says so; the others are not needed.
  Task<Result<std::size_t>> judge(const Digest& announce, Verdict verdict, std::uint64_t seed) {
    std::size_t judged = 0;
    for (auto& one : nodes) {
      if (!one->server || !one->server->trust_desk().review_of(announce.hex())) continue;
      auto& desk = one->server->trust_desk();
      CO_TRY(const auto seen, co_await desk.watch(announce));
      EXPECT_EQ(seen, clip_of(seed));
      const auto said = co_await desk.judge(announce, verdict, "seen");
      if (!said && said.error().code == Errc::not_found) continue;  // decided meanwhile
      CO_TRY_VOID(said);
      const auto again = co_await desk.judge(announce, Verdict::refuse, "");
      EXPECT_FALSE(again);
      ++judged;
    }
    co_return judged;
  }
  /// Whatever is drawn for a person whose trust is due.
  Task<Result<Procedure>> renew(SimServer& of, std::uint64_t seed) {
    CO_TRY(const auto wanted, co_await of.server->trust_desk().renew());
    const auto id = wanted.renewal;
    CO_TRY_VOID(co_await wait_for("the renewal is known", [&] { return known_to_all(id); }));
    switch (wanted.procedure) {
      case Procedure::recovery_words:
        EXPECT_FALSE(co_await of.server->trust_desk().show_words(PersonSecret::from_bytes(Key{})));
        CO_TRY_VOID(co_await of.server->trust_desk().show_words(*of.words));
        break;
      case Procedure::countersign:
        for (auto& one : nodes) {
          const auto& asked = wanted.countersigners;
          if (std::ranges::find(asked, person(*one)) == asked.end()) continue;
          CO_TRY_VOID(co_await one->server->trust_desk().countersign(id.hex().substr(0, 12)));
        }
        break;
      case Procedure::new_clip: {
        CO_TRY(const auto said, co_await announce(of, seed));
        CO_TRY_VOID(co_await wait_for("the clip is known", [&] { return known_to_all(said); }));
        CO_TRY_VOID(co_await judge(said, Verdict::vouch, seed));
        break;
      }
    }
    CO_TRY_VOID(co_await wait_for("all know that it is done", [&] {
      return std::ranges::all_of(nodes, [&](const auto& one) {
        const auto& renewals = one->server->trust().standings().renewals;
        return renewals.contains(id) && renewals.at(id).done;
      });
    }));
    co_return wanted.procedure;
  }
  bool known_to_all(const Digest& record) const {
    return std::ranges::all_of(nodes, [&](const auto& one) { return !one->server || one->server->trust().find(record); });
  }
  /// The whole way of a newcomer.
  Task<Result<SimServer*>> member(SimServer& from, std::uint64_t seed) {
    CO_TRY(auto* fresh, co_await guest(from));
    CO_TRY(const auto said, co_await announce(*fresh, seed));
    CO_TRY_VOID(co_await wait_for("the clip is known", [&] { return known_to_all(said); }));
    if (state(*fresh, *fresh) != Standing::State::trusted) CO_TRY_VOID(co_await judge(said, Verdict::vouch, seed));
    CO_TRY_VOID(co_await wait_for("the newcomer is trusted by all", [&] {
      return std::ranges::all_of(nodes, [&](const auto& one) {
        return !one->server || state(*one, *fresh) == Standing::State::trusted;
      });
    }));
    co_await world.sleep(epoch);  // what he is counts from the next epoch on
    co_return fresh;
  }
};

TEST_F(TrustTest, NobodyKeepsWhatAGuestStoresUntilHeIsTrusted) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.found(1));
    auto& founder = *test.nodes[0];
    CO_TRY(auto* guest, co_await test.guest(founder));
    const auto file = bytes_of(1, 3 << 20);
    CO_TRY_VOID(co_await test.put(*guest, "a", file, Level::full));  // on his own machine, as if alone
    CO_TRY_VOID(co_await test.put(founder, "b", bytes_of(2, 3 << 20), Level::full));
    CO_TRY(const auto his, co_await guest->server->contracts(100));
    for (const auto& contract : his) EXPECT_EQ(contract.holder, guest->server->identity().server);
    CO_TRY(const auto founders, co_await founder.server->contracts(100));
    for (const auto& contract : founders) EXPECT_EQ(contract.holder, founder.server->identity().server);

    // Nobody but the founder could review: his vouch and the clip are enough.
    CO_TRY_VOID(co_await test.announce(*guest, 7));
    CO_TRY_VOID(co_await test.wait_for("both keep a copy of the other's file", [&] {
      const auto other = [](SimServer& at, SimServer& holder) {
        return std::ranges::any_of(at.server->keeper().report().held, [&](const auto& held) {
          return held.server == holder.server->identity().server && held.bytes > 3 << 20;
        });
      };
      return other(*guest, founder) && other(founder, *guest);
    }));
    co_return co_await test.expect(*guest, "a", file, ReadFrom::network);
  }(*this), 6h);
}

TEST_F(TrustTest, DrawnReviewersDecideAndHaveTheClipWhenItsMakerIsOff) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.found(1));
    auto& founder = *test.nodes[0];
    CO_TRY(auto* second, co_await test.member(founder, 2));
    CO_TRY(auto* third, co_await test.guest(founder));
    EXPECT_FALSE(co_await third->server->trust_desk().announce(test.clip_of(3)));  // no phrase was asked for
    CO_TRY(const auto said, co_await test.announce(*third, 3));
    CO_TRY_VOID(co_await test.wait_for("the reviewer is asked", [&] {
      return second->server->trust_desk().reviews().size() == 1;
    }));
    EXPECT_TRUE(founder.server->trust_desk().reviews().empty());  // who vouches does not review
    co_await test.world.sleep(10s);
    co_await third->down();
    CO_TRY(const auto seen, co_await second->server->trust_desk().watch(said));
    EXPECT_EQ(seen, test.clip_of(3));
    const auto not_asked = co_await founder.server->trust_desk().judge(said, Verdict::vouch, "");
    EXPECT_FALSE(not_asked);
    CO_TRY_VOID(co_await second->server->trust_desk().judge(said, Verdict::vouch, "I saw him"));
    CO_TRY_VOID(co_await third->up());
    co_return co_await test.wait_for("he learns that he is trusted", [&] {
      return test.state(*third, *third) == Standing::State::trusted &&
             test.state(founder, *third) == Standing::State::trusted;
    });
  }(*this), 6h);
}

TEST_F(TrustTest, ARefusedClipLeavesAGuest) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.found(1));
    auto& founder = *test.nodes[0];
    CO_TRY_VOID(co_await test.member(founder, 2));
    CO_TRY(auto* third, co_await test.guest(founder));
    CO_TRY(const auto said, co_await test.announce(*third, 3));
    CO_TRY_VOID(co_await test.wait_for("the clip is known", [&] { return test.nodes[1]->server->trust().find(said) != nullptr; }));
    CO_TRY(const auto judged, co_await test.judge(said, Verdict::refuse, 3));
    EXPECT_EQ(judged, 1u);
    CO_TRY_VOID(co_await test.wait_for("all know of the refusal", [&] {
      return std::ranges::all_of(test.nodes, [&](const auto& one) {
        const auto& clips = one->server->trust().standings().clips;
        return std::ranges::any_of(clips, [&](const auto& each) {
          return each.second.announce == said && each.second.state == ClipCase::State::refused;
        });
      });
    }));
    for (auto& one : test.nodes) EXPECT_EQ(test.state(*one, *third), Standing::State::guest);
    const auto again = co_await third->server->trust_desk().phrase();
    EXPECT_EQ(again.error().code, Errc::not_found);
    // Whoever still knows him can vouch anew.
    co_await test.world.sleep(test.epoch);
    CO_TRY_VOID(co_await founder.server->trust_desk().vouch(test.person(*third)));
    co_return co_await test.wait_for("a clip is asked for anew", [&] {
      const auto& clips = third->server->trust().standings().clips;
      return std::ranges::count_if(clips, [&](const auto& each) { return each.second.subject == test.person(*third); }) == 2;
    });
  }(*this), 6h);
}

TEST_F(TrustTest, RecordsSurviveRestartsAndHealedPartitions) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.found(3));
    auto& founder = *test.nodes[0];
    for (std::uint64_t seed = 2; seed <= 4; ++seed) CO_TRY_VOID(co_await test.member(founder, seed));
    CO_TRY_VOID(co_await test.all_up(4));
    // The reviewers decide while the founder cannot be reached.
    CO_TRY(auto* fifth, co_await test.guest(founder));
    CO_TRY_VOID(co_await test.all_up(5));
    test.network.partition({{1}, {2, 3, 4, 5}});
    CO_TRY(const auto said, co_await test.announce(*fifth, 5));
    CO_TRY_VOID(co_await test.wait_for("the reviewers have the clip", [&] {
      return std::ranges::count_if(test.nodes, [&](const auto& one) { return !one->server->trust_desk().reviews().empty(); }) >= 2;
    }));
    CO_TRY(const auto judged, co_await test.judge(said, Verdict::vouch, 5));
    EXPECT_GE(judged, 2u);
    EXPECT_EQ(test.state(founder, *fifth), Standing::State::guest);
    test.network.mend_all_links();
    CO_TRY_VOID(co_await test.wait_for("the founder knows", [&] { return test.state(founder, *fifth) == Standing::State::trusted; }));

    for (auto& one : test.nodes) co_await one->down();
    for (auto& one : test.nodes) CO_TRY_VOID(co_await one->up());
    for (auto& at : test.nodes)
      for (auto& of : test.nodes) EXPECT_EQ(test.state(*at, *of), Standing::State::trusted);
    co_return Result<void>{};
  }(*this), 12h);
}

TEST_F(TrustTest, WhoDoesNotRenewKeepsAQuarterOfHisAllowanceUntilHeDoes) {
  run([](TrustTest& test) -> Task<Result<void>> {
    auto network = reviewed(1);
    network.rules->aging_epochs = 48;
    network.rules->grace_epochs = 24;
    CO_TRY_VOID(co_await test.found(network));
    auto& founder = *test.nodes[0];
    for (std::uint64_t seed = 2; seed <= 4; ++seed) CO_TRY_VOID(co_await test.member(founder, seed));
    auto& late = *test.nodes[3];
    EXPECT_EQ((co_await late.server->trust_desk().renew()).error().code, Errc::invalid);  // nothing is due
    const auto allowance = [&] { return founder.server->members().allowance_percent(test.person(late)); };
    EXPECT_EQ(allowance(), 100u);
    co_await test.world.sleep(40 * test.epoch);  // all but him renew in time
    for (std::size_t i = 0; i < 3; ++i) CO_TRY_VOID(co_await test.renew(*test.nodes[i], 10 + i));
    co_await test.world.sleep(40 * test.epoch);
    EXPECT_EQ(allowance(), 25u);
    const auto denied = co_await late.server->trust_desk().vouch(test.person(founder));
    EXPECT_FALSE(denied);
    CO_TRY_VOID(co_await test.renew(late, 20));
    EXPECT_EQ(allowance(), 100u);
    co_return Result<void>{};
  }(*this), 240h);
}

TEST_F(TrustTest, ThreeDoubtsAskForANewClip) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.found(1));
    auto& founder = *test.nodes[0];
    for (std::uint64_t seed = 2; seed <= 5; ++seed) CO_TRY_VOID(co_await test.member(founder, seed));
    auto& doubted = *test.nodes[4];
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_FALSE(co_await doubted.server->trust_desk().renew());  // nothing is due yet
      CO_TRY(const auto id, co_await test.nodes[i]->server->trust_desk().doubt(test.person(doubted), "is it him?"));
      CO_TRY_VOID(co_await test.wait_for("the doubt is known", [&] { return test.known_to_all(id); }));
    }
    co_await test.world.sleep(test.epoch);
    CO_TRY(const auto procedure, co_await test.renew(doubted, 9));
    EXPECT_EQ(procedure, Procedure::new_clip);
    co_return Result<void>{};
  }(*this), 24h);
}

TEST_F(TrustTest, OneServerOfAPersonAloneNumbersItsVouches) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.found(1));
    auto& founder = *test.nodes[0];
    const auto secret = *founder.words;
    CO_TRY(auto link, co_await test.invite(founder));
    auto& other = test.node();
    CO_TRY_VOID(co_await other.join(link, secret));
    CO_TRY_VOID(co_await other.up());
    CO_TRY_VOID(co_await test.all_up(2));
    const bool first = founder.server->identity().server < other.server->identity().server;
    auto& numbers = first ? founder : other;
    auto& silent = first ? other : founder;
    // Let in by either, a guest is vouched for by the one.
    CO_TRY(auto* guest, co_await test.guest(silent));
    CO_TRY_VOID(co_await test.wait_for("all know the vouch", [&] {
      return silent.server->trust().standings().of(test.person(founder)).next_vouch == 2;
    }));
    const auto refused = co_await silent.server->trust_desk().vouch(test.person(*guest));
    EXPECT_EQ(refused.error().code, Errc::denied);
    EXPECT_NE(refused.error().message.find(numbers.server->identity().server.brief()), std::string::npos);
    co_return Result<void>{};
  }(*this), 6h);
}

TEST_F(TrustTest, WithoutReviewsAnInviteIsEnough) {
  run([](TrustTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(2));
    EXPECT_EQ(test.state(*test.nodes[0], *test.nodes[1]), Standing::State::trusted);
    const auto vouched = co_await test.nodes[0]->server->trust_desk().vouch(test.person(*test.nodes[1]));
    EXPECT_EQ(vouched.error().code, Errc::invalid);
    co_return Result<void>{};
  }(*this));
}

}  // namespace
}  // namespace spatter
