// Trust records one by one: made, read back, and refused when a field, signature or draw is wrong.
#include "trust/trust_record.h"

#include <gtest/gtest.h>

#include "village.h"

namespace spatter {
namespace {

class TrustRecords : public testing::Test {
 protected:
  Result<TrustFacts> read(const wire::TrustRecord& record) {
    return check_trust_record(record, village.genesis);
  }
  Errc refused(const wire::TrustRecord& record) {
    auto facts = read(record);
    return facts ? Errc::ok : facts.error().code;
  }
  /// The record with its message altered and signed anew by the same person.
  template <class Message, class Change>
  wire::TrustRecord altered(wire::TrustRecord record, std::string_view kind, Change change) {
    Message message;
    EXPECT_TRUE(message.ParseFromString(record.record().body()));
    change(message);
    *record.mutable_record() = sign_message(village.founder().key, kind, message);
    return record;
  }

  Village village;
  PersonId other = village.random.id<PersonId>();
};

TEST_F(TrustRecords, AVouchSaysWhatItsVoucherSigned) {
  const auto record = village.vouch_record(village.founder(), other, 7, 3);
  const auto facts = read(record).value();
  EXPECT_EQ(facts.kind(), TrustKind::vouch);
  EXPECT_EQ(facts.key, village.founder().id);
  EXPECT_EQ(facts.epoch, 3u);
  const auto& vouch = std::get<Vouch>(facts.what);
  EXPECT_EQ(vouch.person, other);
  EXPECT_EQ(vouch.number, 7u);
  EXPECT_EQ(facts.id, trust_record_id(TrustKind::vouch, record.record()));
}

TEST_F(TrustRecords, OneKindIsNeverTakenForAnother) {
  auto record = village.vouch_record(village.founder(), other, 1, 1);
  for (std::uint32_t kind = 0; kind < 12; ++kind) {
    record.set_kind(kind);
    EXPECT_EQ(read(record).has_value(), kind == 2) << kind;
  }
}

TEST_F(TrustRecords, WrongFieldsAreRefused) {
  const auto good = village.vouch_record(village.founder(), other, 1, 1);
  const auto with = [&](auto change) { return altered<wire::Vouch>(good, kind::vouch, change); };
  EXPECT_EQ(refused(with([](auto&) {})), Errc::ok);
  EXPECT_EQ(refused(with([](auto& m) { m.set_network(std::string(32, 'x')); })), Errc::denied);
  EXPECT_EQ(refused(with([](auto& m) { m.set_person("short"); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_person(m.voucher()); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_number(0); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_number(trust_number_max + 1); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_epoch(epoch_max + 1); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_draw(""); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_draw(std::string(200, 'x')); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_number(2); })), Errc::corrupt) << "the draw is of another";
  auto forged = good;
  forged.mutable_record()->mutable_signature()->at(0) ^= 1;
  EXPECT_EQ(refused(forged), Errc::corrupt);
  auto huge = good;
  huge.mutable_record()->set_body(std::string(trust_record_bytes_max + 1, 'x'));
  EXPECT_EQ(refused(huge), Errc::invalid);
}

TEST_F(TrustRecords, AnAnnounceHasItsLotsInOrderAndAClipWithinBounds) {
  village.grow(3);
  const auto basis = village.random.id<Digest>();
  std::vector<PersonId> givers;
  for (const auto& villager : village.persons) givers.push_back(villager.id);
  auto fresh = village.new_announce(village.founder(), basis, givers, 9);
  const auto good = make_announce(village.founder().key, village.network(), fresh);
  const auto facts = read(good).value();
  const auto& announce = std::get<Announce>(facts.what);
  EXPECT_EQ(announce.lots.size(), 4u);
  EXPECT_TRUE(std::ranges::is_sorted(announce.lots, {}, &PhraseLot::giver));
  EXPECT_EQ(announce.recovery, fresh.recovery);

  const auto with = [&](auto change) {
    return altered<wire::Announce>(good, kind::announce, change);
  };
  EXPECT_EQ(refused(with([](auto& m) { m.mutable_lots()->SwapElements(0, 1); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { *m.mutable_lots(1) = m.lots(0); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.mutable_lots(1)->set_key(m.lots(0).key()); })),
            Errc::corrupt);
  EXPECT_EQ(refused(with([](auto& m) { m.set_phrase_epoch(10); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_phrase_epoch(8); })), Errc::corrupt);
  EXPECT_EQ(refused(with([](auto& m) { m.set_clip_bytes(0); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_clip_bytes(sealed_clip_bytes_max + 1); })),
            Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_clip_key("short"); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_recovery("short"); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) {
              for (int i = 0; i < 40; ++i) *m.add_lots() = m.lots(0);
            })),
            Errc::invalid);
}

TEST_F(TrustRecords, APhraseNeedsEveryLot) {
  village.grow(2);
  const auto basis = village.random.id<Digest>();
  std::vector<PhraseLot> lots;
  for (const auto& villager : village.persons) {
    const auto given = village.lot(villager, basis, 5);
    const auto draw = phrase_draw(village.network(), basis, 5);
    lots.push_back({given.giver, given.key,
                    check_draw(draw, {given.key.bytes, given.draw}).value()});
  }
  const auto phrase = phrase_of(village.network(), basis, 5, lots);
  EXPECT_EQ(std::ranges::count(phrase, ' '), 5);
  EXPECT_NE(phrase, phrase_of(village.network(), basis, 6, lots));
  lots.pop_back();
  EXPECT_NE(phrase, phrase_of(village.network(), basis, 5, lots));
}

TEST_F(TrustRecords, ReasonsAndVerdictsHaveBounds) {
  const auto announce = village.random.id<Digest>();
  const auto good = village.review_record(village.founder(), announce, Verdict::refuse, 4);
  EXPECT_EQ(std::get<Review>(read(good).value().what).reason, "why");
  const auto with = [&](auto change) { return altered<wire::Review>(good, kind::review, change); };
  EXPECT_EQ(refused(with([](auto& m) { m.set_verdict(0); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_verdict(4); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_reason(std::string(501, 'x')); })), Errc::invalid);
  EXPECT_EQ(refused(with([](auto& m) { m.set_reason("\xff\xfe not UTF-8"); })), Errc::ok);
  const auto& key = village.founder().key;
  EXPECT_EQ(refused(make_doubt(key, village.network(), village.founder().id, village.founder().id,
                               "", 1)),
            Errc::invalid);
}

TEST_F(TrustRecords, ARotationIsClaimedByTheNewKeyToo) {
  const auto recovery = village.founder().secret.recovery_key();
  const auto new_key = SigningKey::generate(village.random);
  const auto good =
      make_rotation(recovery, new_key, village.network(), village.founder().id, 1, 2);
  const auto facts = read(good).value();
  EXPECT_EQ(std::get<Rotation>(facts.what).new_key, person_id(new_key.public_key()));
  wire::Rotation message;
  ASSERT_TRUE(message.ParseFromString(good.record().body()));
  message.set_new_key(other.raw());
  auto stolen = good;
  *stolen.mutable_record() = sign_message(recovery, kind::rotation, message);
  EXPECT_FALSE(read(stolen));
}

TEST(TrustRulesTest, OldGenesisRecordsMeanWhatTheyMeant) {
  SeededRandom random(3);
  const auto founder = SigningKey::generate(random);
  const auto facts = check_genesis(make_genesis(founder, random, 1000)).value();
  EXPECT_EQ(facts.rules, TrustRules());
  EXPECT_EQ(facts.rules.reviewers, 0u);
  EXPECT_FALSE(facts.recovery);
  EXPECT_EQ(facts.epoch_of(999), 0u);
  EXPECT_EQ(facts.epoch_of(1000 + 3600'000 * 5 - 1), 4u);
  EXPECT_EQ(facts.epoch_of(1000 + 3600'000 * 5), 5u);
  EXPECT_EQ(facts.epoch_of(-5), 0u);
}

TEST(TrustRulesTest, RulesThatMakeNoSenseAreRefused) {
  EXPECT_EQ(check_rules(to_wire(TrustRules::reviewed())).value(), TrustRules::reviewed());
  EXPECT_EQ(check_rules(to_wire(TrustRules::friends())).value(), TrustRules::friends());
  const auto bad = [](auto change) {
    auto rules = TrustRules::reviewed();
    change(rules);
    const auto checked = check_rules(to_wire(rules));
    return !checked && checked.error().code == Errc::invalid;
  };
  EXPECT_TRUE(bad([](auto& r) { r.vouches_needed = 0; }));
  EXPECT_TRUE(bad([](auto& r) { r.vouches_needed = 4; }));
  EXPECT_TRUE(bad([](auto& r) { r.reviewers = reviewers_max + 1; }));
  EXPECT_TRUE(bad([](auto& r) { r.overdue_percent = 101; }));
  EXPECT_TRUE(bad([](auto& r) { r.grace_epochs = 0; }));
  EXPECT_FALSE(check_rules(wire::TrustRules()));
}

}  // namespace
}  // namespace spatter
