// The draws of a place and what proves them, and what whoever draws holds to.
#include "directory/place_draw.h"

#include <gtest/gtest.h>

#include <set>

#include "directory/place_promises.h"
#include "directory_people.h"

namespace spatter {
namespace {

struct PlaceDraws : testing::Test {
  PlaceDraws() {
    for (int i = 0; i < 6; ++i) keys.push_back(people.person());
    std::ranges::sort(keys, {}, [](const SigningKey& key) { return key.public_key(); });
  }
  PlaceDraw three() const { return people.place_of(own, {&keys[0], &keys[1], &keys[2]}, 5, 7); }
  Errc refusal(const PlaceDraw& place) const {
    const auto checked = check_place_draw(people.facts.network, own.server, own.person, place);
    return checked ? Errc::ok : checked.error().code;
  }

  DirectoryPeople people;
  Identity own = people.server_of(people.person());
  std::vector<SigningKey> keys;
};

TEST_F(PlaceDraws, AllOfThemTogetherAreThePlace) {
  const auto place = three();
  const auto facts = check_place_draw(people.facts.network, own.server, own.person, place).value();
  EXPECT_EQ(facts.number, 5u);
  EXPECT_EQ(facts.epoch, 7u);
  EXPECT_EQ(facts.drawers, (std::vector{keys[0].public_key(), keys[1].public_key(), keys[2].public_key()}));
  EXPECT_EQ(facts.draw, draw_of(place).value());
  // Another drawer, number, epoch or server: another place.
  std::set<Digest> draws{facts.draw};
  draws.insert(draw_of(people.place_of(own, {&keys[0], &keys[1], &keys[3]}, 5, 7)).value());
  draws.insert(draw_of(people.place_of(own, {&keys[0], &keys[1], &keys[2]}, 6, 7)).value());
  draws.insert(draw_of(people.place_of(own, {&keys[0], &keys[1], &keys[2]}, 5, 8)).value());
  draws.insert(draw_of(people.place_of(people.server_of(own.person_key), {&keys[0], &keys[1], &keys[2]}, 5, 7)).value());
  EXPECT_EQ(draws.size(), 5u);
}

TEST_F(PlaceDraws, WhatIsNotAsItWasDrawnIsRefused) {
  EXPECT_EQ(refusal(three()), Errc::ok);
  auto place = three();
  ++place.number;
  EXPECT_EQ(refusal(place), Errc::corrupt);
  place = three();
  ++place.epoch;
  EXPECT_EQ(refusal(place), Errc::corrupt);
  for (std::size_t i = 0; i < 3; ++i) {
    place = three();
    place.draws[i].proof[75] ^= 1;
    EXPECT_NE(refusal(place), Errc::ok);
    place = three();
    place.draws[i].key = keys[4].public_key();
    EXPECT_EQ(refusal(place), Errc::corrupt);
  }
  const auto check = [&](const ServerId& server, const PersonId& owner) {
    return check_place_draw(people.facts.network, server, owner, three()).has_value();
  };
  EXPECT_TRUE(check(own.server, own.person));
  EXPECT_FALSE(check(people.random.id<ServerId>(), own.person));
  EXPECT_FALSE(check(own.server, people.random.id<PersonId>()));
  EXPECT_FALSE(check_place_draw(people.random.id<NetworkId>(), own.server, own.person, three()));
}

/// Else whoever has the draws of six persons could choose among twenty places.
TEST_F(PlaceDraws, DrawsOfTwoGroupsDoNotMix) {
  const auto one = three();
  const auto other = people.place_of(own, {&keys[3], &keys[4], &keys[5]}, 5, 7);
  auto mixed = one;
  mixed.draws[2] = other.draws[0];
  EXPECT_EQ(refusal(mixed), Errc::corrupt);
  auto fewer = one;
  fewer.draws.pop_back();
  EXPECT_EQ(refusal(fewer), Errc::corrupt);
}

TEST_F(PlaceDraws, ARecordShowsThem) {
  const auto place = three();
  const auto record = make_server_record(own, {}, 1000, 500, 1, &place);
  EXPECT_EQ(place_in(record.body()), place);
  EXPECT_EQ(place_in(people.record(own, 1).body()), std::nullopt);
  EXPECT_EQ(draws_from(to_bytes(place.draws)).value(), place.draws);
  const auto refused = [](std::string_view bytes) {
    const auto read = draws_from(bytes);
    return read ? Errc::ok : read.error().code;
  };
  auto bytes = to_bytes(place.draws);
  EXPECT_EQ(refused(""), Errc::invalid);
  EXPECT_EQ(refused(std::string_view(bytes).substr(1)), Errc::invalid);
  EXPECT_EQ(refused(bytes + bytes.substr(0, 112)), Errc::invalid);              // four
  EXPECT_EQ(refused(bytes.substr(0, 112) + bytes.substr(0, 112)), Errc::invalid);  // one twice
  EXPECT_EQ(refused(bytes.substr(112, 112) + bytes.substr(0, 112)), Errc::invalid);
}

struct Promises : PlaceDraws {
  PlaceOccasion occasion(unsigned number, std::uint64_t epoch, const ServerId& server, std::size_t first_drawer = 0) {
    return {people.facts.network, epoch, server, own.person, number,
            {keys[first_drawer].public_key(), keys[first_drawer + 1].public_key()}};
  }
  Errc promise(const PlaceOccasion& what, std::uint64_t now) {
    const auto made = promises.promise(what, now, {[this](const PlaceOccasion&) { return counts; },
                                                   [this](const ServerId&) { return stands; }});
    return made ? Errc::ok : made.error().code;
  }
  ServerId other = people.random.id<ServerId>();
  PlacePromises promises;
  bool counts = true, stands = true;
};

TEST_F(Promises, APlaceIsDrawnOnceForOneServer) {
  EXPECT_EQ(promise(occasion(0, 10, own.server), 10), Errc::ok);
  EXPECT_EQ(promise(occasion(0, 10, own.server), 11), Errc::ok);  // the answer was lost
  EXPECT_EQ(promise(occasion(0, 11, own.server), 11), Errc::exists);
  EXPECT_EQ(promise(occasion(0, 10, own.server, 1), 11), Errc::exists);
  EXPECT_EQ(promise(occasion(0, 11, other), 11), Errc::exists);
  stands = false;  // retiring the first does not help
  EXPECT_EQ(promise(occasion(0, 11, other), 11), Errc::exists);
  EXPECT_EQ(promise(occasion(1, 11, other), 11), Errc::ok);
  EXPECT_EQ(promises.size(), 2u);
}

TEST_F(Promises, AfterItsRestTheSameServerOrOneInItsSteadMayHaveAnother) {
  const auto rested = 10 + PlacePromises::rests_epochs;
  EXPECT_EQ(promise(occasion(0, 10, own.server), 10), Errc::ok);
  EXPECT_EQ(promise(occasion(0, rested - 1, own.server), rested - 1), Errc::exists);
  EXPECT_EQ(promise(occasion(0, rested, other), rested), Errc::exists);  // the first is still there
  stands = false;
  EXPECT_EQ(promise(occasion(0, rested, other), rested), Errc::ok);
  EXPECT_EQ(promise(occasion(0, rested, own.server), rested), Errc::exists);
  EXPECT_EQ(promise(occasion(1, 10, own.server), 10), Errc::ok);
  EXPECT_EQ(promise(occasion(1, rested, own.server), rested), Errc::ok);
}

TEST_F(Promises, APlaceThatCountsNoMoreIsDrawnAnewAtOnce) {
  EXPECT_EQ(promise(occasion(0, 10, own.server), 10), Errc::ok);
  counts = false;
  EXPECT_EQ(promise(occasion(0, 11, own.server, 2), 11), Errc::ok);
  EXPECT_EQ(promise(occasion(0, 11, other, 3), 11), Errc::ok);
}

TEST_F(Promises, TheOldestIsForgottenWhenThereAreTooMany) {
  for (unsigned number = 0; number <= PlacePromises::promises_max; ++number)
    EXPECT_EQ(promise(occasion(number, 10, own.server), 10), Errc::ok);
  EXPECT_EQ(promises.size(), PlacePromises::promises_max);
  EXPECT_EQ(promise(occasion(0, 11, other), 11), Errc::ok);
  EXPECT_EQ(promise(occasion(2, 11, other), 11), Errc::exists);
}

}  // namespace
}  // namespace spatter
