// Aim: an entry comes back as it was said, whatever else is refused by name; and two entries with one
// number prove themselves.
#include "cycles/entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "market.h"

namespace spatter::cycles {
namespace {

class Entries : public testing::Test {
 protected:
  Result<Entry> checked(const What& what) { return check_entry(make_entry(key, network, person, head, what, 5000).record, network); }
  /// The message's fields as a stranger might set them, signed properly.
  template <class Change>
  Error refused(const What& what, Change change) {
    auto record = make_entry(key, network, person, head, what, 5000).record;
    wire::CyclesWhat message;
    EXPECT_TRUE(message.ParseFromString(record.what()));
    wire::CyclesEntry body;
    EXPECT_TRUE(body.ParseFromString(record.entry().body()));
    change(body, message);
    record.set_what(message.SerializeAsString());
    body.set_what(sha256(as_bytes(record.what())).raw());
    *record.mutable_entry() = sign_message(key, entry_kind, body);
    const auto result = check_entry(record, network);
    return result ? Error{Errc::ok, "not refused"} : result.error();
  }
  template <class Change>
  Error refused_what(const What& what, Change change) {
    return refused(what, [&](wire::CyclesEntry&, wire::CyclesWhat& message) { change(message); });
  }
  template <class Change>
  Error refused_body(Change change) {
    return refused(Pledge{}, [&](wire::CyclesEntry& body, wire::CyclesWhat&) { change(body); });
  }

  SeededRandom random{4};
  SigningKey key = SigningKey::generate(random);
  NetworkId network = random.id<NetworkId>();
  PersonId person = random.id<PersonId>();
  ChainHead head{4, random.id<EntryId>(), 1000};
  EntryId some = random.id<EntryId>();
  Lease lease{random.id<ServerId>(), 77, true, random.id<Digest>()};
};

TEST_F(Entries, EveryKindComesBackAsItWasSaid) {
  Verdict verdict{some, Verdict::Finding::delivered, {}};
  random.fill(verdict.draw);
  const std::vector<What> all = {Pledge{200'000, 3},
                                 lease,
                                 Answer{some, Answer::Kind::time_taken},
                                 Delivery{some, lease_fuel_max, random.id<Digest>()},
                                 Receipt{some, 1, elapsed_ms_max},
                                 verdict};
  for (const What& what : all) {
    const auto entry = checked(what).value();
    EXPECT_EQ(entry.what.index(), what.index());
    EXPECT_EQ(entry.server, server_id(key.public_key()));
    EXPECT_EQ(entry.person, person);
    EXPECT_EQ(entry.number, 5u);
    EXPECT_EQ(entry.previous, head.id);
    EXPECT_EQ(entry.made_ms, 5000);
  }
  EXPECT_EQ(std::get<Pledge>(checked(all[0])->what), std::get<Pledge>(all[0]));
  EXPECT_EQ(std::get<Lease>(checked(all[1])->what), lease);
  EXPECT_EQ(std::get<Answer>(checked(all[2])->what), std::get<Answer>(all[2]));
  EXPECT_EQ(std::get<Delivery>(checked(all[3])->what), std::get<Delivery>(all[3]));
  EXPECT_EQ(std::get<Receipt>(checked(all[4])->what), std::get<Receipt>(all[4]));
  EXPECT_EQ(std::get<Verdict>(checked(all[5])->what), verdict);
}

TEST_F(Entries, AnEntryIsDatedNoEarlierThanWhatItFollowsOrAnswers) {
  EXPECT_EQ(make_entry(key, network, person, head, lease, 500).entry.made_ms, 1000);
  EXPECT_EQ(make_entry(key, network, person, head, lease, 500, 2000).entry.made_ms, 2000);
  EXPECT_EQ(make_entry(key, network, person, {}, lease, -5).entry.made_ms, 0);
}

TEST_F(Entries, EveryFieldHasItsBounds) {
  EXPECT_EQ(refused_what(Pledge{}, [](auto& m) { m.mutable_pledge()->set_share_ppm(1'000'001); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(lease, [](auto& m) { m.mutable_lease()->set_worker("short"); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(lease, [](auto& m) { m.mutable_lease()->set_job(""); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(lease, [](auto& m) { m.mutable_lease()->set_fuel(0); }).code, Errc::invalid);
  EXPECT_THAT(refused_what(lease, [](auto& m) { m.mutable_lease()->set_fuel(lease_fuel_max + 1); }).message,
              testing::HasSubstr("281474976710657 fuel"));
  EXPECT_EQ(refused_what(Answer{some, {}}, [](auto& m) { m.mutable_answer()->set_answer(6); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(Answer{some, Answer::Kind::accepted}, [](auto& m) { m.mutable_answer()->set_answer(0); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(Delivery{some, 1, {}}, [](auto& m) { m.mutable_delivery()->set_output("x"); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(Receipt{some, 1, 1}, [](auto& m) { m.mutable_receipt()->set_elapsed_ms(0); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(Receipt{some, 1, 1}, [](auto& m) { m.mutable_receipt()->set_elapsed_ms(elapsed_ms_max + 1); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(Verdict{some, {}, {}}, [](auto& m) { m.mutable_verdict()->set_finding(3); }).code, Errc::invalid);
  EXPECT_EQ(refused_what(Verdict{some, Verdict::Finding::delivered, {}}, [](auto& m) { m.mutable_verdict()->set_draw(std::string(79, 'x')); }).code,
            Errc::invalid);
  EXPECT_THAT(refused_what(Pledge{}, [](auto& m) { m.Clear(); }).message, testing::HasSubstr("says nothing"));
  EXPECT_EQ(refused_body([](auto& b) { b.set_number(0); }).code, Errc::invalid);
  EXPECT_EQ(refused_body([](auto& b) { b.set_number(~0ULL); }).code, Errc::invalid);
  EXPECT_EQ(refused_body([](auto& b) { b.clear_previous(); }).code, Errc::invalid);
  EXPECT_EQ(refused_body([](auto& b) { b.set_number(1); }).code, Errc::invalid) << "the first follows nothing";
  EXPECT_EQ(refused_body([](auto& b) { b.set_previous("x"); }).code, Errc::invalid);
  EXPECT_EQ(refused_body([](auto& b) { b.set_made_ms(~0ULL); }).code, Errc::invalid);
  EXPECT_EQ(refused_body([](auto& b) { b.set_person("nobody"); }).code, Errc::invalid);
  EXPECT_EQ(refused_body([&](auto& b) { b.set_network(random.id<NetworkId>().raw()); }).code, Errc::denied);
}

TEST_F(Entries, WhatWasNotSignedIsRefused) {
  const auto made = make_entry(key, network, person, head, lease, 5000);
  auto other = made.record;
  other.set_what(make_entry(key, network, person, head, Pledge{1, 0}, 5000).record.what());
  EXPECT_EQ(check_entry(other, network).error().code, Errc::corrupt);
  other = made.record;
  (*other.mutable_entry()->mutable_signature())[3] ^= 1;
  EXPECT_EQ(check_entry(other, network).error().code, Errc::corrupt);
  other = made.record;
  other.mutable_entry()->mutable_body()->append("\x50\x01");  // a field that nobody knows
  *other.mutable_entry() = sign(key, entry_kind, other.entry().body());
  EXPECT_THAT(check_entry(other, network).error().message, testing::HasSubstr("more than it should"));
  other = made.record;
  other.set_what(std::string(what_bytes_max + 1, 'x'));
  EXPECT_FALSE(check_entry(other, network));
  EXPECT_FALSE(read_entry({}, network));
  const auto bytes = made.record.SerializeAsString();
  EXPECT_EQ(read_entry(as_bytes(bytes), network)->id, made.entry.id);
}

TEST_F(Entries, TwoEntriesWithOneNumberProveACheat) {
  const auto one = make_entry(key, network, person, head, lease, 5000), other = make_entry(key, network, person, head, Pledge{}, 6000);
  const auto fork = make_fork(one.record.entry(), other.record.entry(), network).value();
  EXPECT_EQ(fork.server, one.entry.server);
  EXPECT_EQ(fork.number, 5u);
  const auto back = check_entry(make_entry(key, network, person, {}, fork, 7000).record, network).value();
  EXPECT_EQ(std::get<Fork>(back.what).server, fork.server);

  EXPECT_FALSE(make_fork(one.record.entry(), one.record.entry(), network)) << "one entry twice is none";
  const auto next = make_entry(key, network, person, {5, one.entry.id, 5000}, lease, 5000);
  EXPECT_FALSE(make_fork(one.record.entry(), next.record.entry(), network)) << "two numbers";
  const auto stranger = make_entry(SigningKey::generate(random), network, person, head, lease, 5000);
  EXPECT_FALSE(make_fork(one.record.entry(), stranger.record.entry(), network)) << "two servers";
  EXPECT_FALSE(make_fork(one.record.entry(), other.record.entry(), random.id<NetworkId>())) << "another network";
  auto forged = other.record.entry();
  (*forged.mutable_signature())[0] ^= 1;
  EXPECT_FALSE(make_fork(one.record.entry(), forged, network));
}

TEST_F(Entries, AnEntryDatedMoreThanAnEpochOffIsRefused) {
  const LedgerRules rules{.founded_ms = 0};
  const auto epoch = static_cast<WallMs>(rules.epoch_ms);
  EXPECT_TRUE(check_dated(rules, 10 * epoch, 10 * epoch));
  EXPECT_TRUE(check_dated(rules, 11 * epoch, 10 * epoch));
  EXPECT_TRUE(check_dated(rules, 9 * epoch, 10 * epoch));
  EXPECT_EQ(check_dated(rules, 12 * epoch, 10 * epoch).error().code, Errc::denied);
  EXPECT_EQ(check_dated(rules, 9 * epoch - 1, 10 * epoch).error().code, Errc::denied);
}

TEST(Rules, WhatCannotBeIsNamed) {
  EXPECT_TRUE(check_rules({}));
  EXPECT_FALSE(check_rules({.epoch_ms = 0}));
  EXPECT_FALSE(check_rules({.month_epochs = 12}));
  EXPECT_FALSE(check_rules({.guard_epochs = 0}));
  EXPECT_FALSE(check_rules({.guard_epochs = 9}));
  EXPECT_FALSE(check_rules({.settle_epochs = 9}));
}

}  // namespace
}  // namespace spatter::cycles
