// A village in which everything happens that can: whatever the order in which records arrive, and
// however often, all agree; and so do bounded books that are offered them until nothing is new.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "trust/record_book.h"
#include "village.h"

namespace spatter {
namespace {

/// Everything that somebody could compare.
std::string told(const Standings& standings) {
  std::string text;
  for (const auto& [id, who] : standings.persons)
    text += fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {}\n", id.hex(), to_string(who.state),
                        who.since, who.key.hex(), who.weight, who.vouches_open, who.next_vouch,
                        who.due, who.overdue, who.next_round, who.allowance, who.vouchers.size(),
                        who.recovery ? who.recovery->hex() : "");
  for (const auto& [id, clip] : standings.clips)
    text += fmt::format("{} {} {} {} {} {}\n", id.hex(), clip.drawn.size(), clip.vouches,
                        clip.refusals, static_cast<int>(clip.state),
                        clip.announce ? clip.announce->hex() : "");
  for (const auto& [id, renewal] : standings.renewals)
    text += fmt::format("{} {} {}\n", id.hex(), to_string(renewal.procedure), renewal.done);
  return text;
}

/// Honest and dishonest deeds, chosen by the seed.
Village eventful(std::uint64_t seed) {
  auto rules = TrustRules::reviewed();
  rules.vouch_epochs = 12;
  rules.substitute_epochs = 3;
  rules.aging_epochs = 20;
  rules.grace_epochs = 6;
  rules.doubts_needed = 2;
  Village village(rules, seed);
  village.grow(5);
  auto& random = village.random;
  const auto anyone = [&]() -> Villager& { return village.persons[random.below(village.persons.size())]; };
  std::map<std::pair<PersonId, Digest>, int> said;
  for (std::uint64_t epoch = 6; epoch < 46; ++epoch) {
    auto& who = anyone();
    switch (random.below(9)) {
      case 0:
        if (may_vouch(village.standing(who, epoch))) village.newcomer(who, epoch);
        break;
      case 1: village.vouch(who, village.guest(who, epoch), epoch); break;
      case 2:
        village.add(village.vouch_record(who, random.id<PersonId>(), 1, epoch));
        break;
      case 3: village.renew(who, epoch); break;
      case 4: {
        auto& other = anyone();
        if (other.id != who.id)
          village.add(make_doubt(who.key, village.network(), who.id, other.id, "", epoch));
        break;
      }
      case 5:
        for (const auto& [basis, clip] : village.now(epoch).clips) {
          if (!clip.announce && village.knows(clip.subject))
            village.announce(village.of(clip.subject), basis, epoch);
        }
        break;
      case 6:
        for (const auto& [basis, clip] : village.now(epoch).clips) {
          if (!clip.announce || clip.state != ClipCase::State::open) continue;
          for (const auto& id : clip.drawn) {
            if (++said[{id, *clip.announce}] > 3) continue;
            village.review(village.of(id), *clip.announce,
                           static_cast<Verdict>(1 + random.below(3)), epoch);
          }
        }
        break;
      case 7:
        for (const auto& [id, renewal] : village.now(epoch).renewals) {
          for (const auto& signer : renewal.countersigners)
            village.add(make_countersign(village.of(signer).key, village.network(), signer, id, epoch));
          const auto& person = village.of(renewal.person);
          village.add(make_words_proof(person.secret.recovery_key(), village.network(), person.id,
                                       id, epoch));
        }
        break;
      default: {
        const auto number = village.standing(who, epoch).key_number + 1;
        auto key = who.secret.numbered(1 + number).signing_key();
        village.add(make_rotation(who.secret.recovery_key(), key, village.network(), who.id, number,
                                  epoch));
        if (village.standing(who, epoch).key == person_id(key.public_key())) who.key = key;
      }
    }
  }
  return village;
}

/// Some villages, each made once: their signatures and draws take longer than all else here.
const Village& village_of(std::uint64_t number) {
  static std::map<std::uint64_t, Village> villages;
  const auto at = villages.find(number % 12);
  if (at != villages.end()) return at->second;
  return villages.emplace(number % 12, eventful(number % 12)).first->second;
}

template <class T>
void shuffle(std::vector<T>& list, Random& random) {
  for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.below(i)]);
}

RC_GTEST_PROP(StandingProperty, TheOrderOfRecordsDoesNotMatter, (std::uint64_t seed)) {
  const auto& village = village_of(seed);
  SeededRandom random(seed);
  auto records = village.records;
  for (const auto& facts : village.records) {
    if (random.below(3) == 0) records.push_back(facts);
  }
  shuffle(records, random);
  RC_ASSERT(told(evaluate(records, village.genesis, 60)) == told(village.now(60)));
}

RC_GTEST_PROP(StandingProperty, WhatComesLaterChangesNothingBefore, (std::uint64_t seed)) {
  const auto& village = village_of(seed);
  const auto epoch = SeededRandom(seed).below(50);
  const auto clips = village.now(60).clips;
  auto earlier = village.records;
  std::erase_if(earlier, [&](const TrustFacts& facts) { return facts.epoch > epoch; });
  for (const auto& [basis, clip] : evaluate(earlier, village.genesis, epoch).clips) {
    RC_ASSERT(clips.at(basis).drawn == clip.drawn);
    if (clip.state == ClipCase::State::accepted || clip.state == ClipCase::State::refused)
      RC_ASSERT(clips.at(basis).state == clip.state);
  }
}

TEST(StandingProperty, BooksAgreeWhateverTheOrder) {
  for (std::uint64_t number = 0; number < 6; ++number) {
    const auto& village = village_of(number);
    SeededRandom random(number);
    std::set<PersonId> admitted{village.genesis.founder};
    std::vector<TrustFacts> admissions;
    for (const auto& facts : village.records) {
      if (const auto* what = std::get_if<Admitted>(&facts.what)) {
        admitted.insert(what->person);
        admissions.push_back(facts);
      }
    }
    const auto fill = [&] {
      RecordBook book(village.genesis, [&](const PersonId& id) { return admitted.contains(id); });
      auto offered = village.wire_records;
      std::erase_if(offered, [](const auto& record) { return record.kind() == 1; });
      shuffle(offered, random);
      // What refers to something not yet known is offered again.
      for (bool news = true; news;) {
        news = false;
        std::erase_if(offered, [&](const wire::TrustRecord& record) {
          const auto added = book.add(record);
          news = news || added.value_or(false);
          return added.has_value();
        });
      }
      return book;
    };
    const auto book = fill();
    EXPECT_EQ(book.digest(), fill().digest()) << number;
    EXPECT_EQ(told(book.standings(admissions, 60)), told(village.now(60))) << number;
  }
}

}  // namespace
}  // namespace spatter
