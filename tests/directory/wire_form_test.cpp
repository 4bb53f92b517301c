// Directory messages on the wire, and what is refused in them.
#include "directory/wire_form.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "directory_people.h"
#include "net/methods.h"
#include "wire/proto/directory.pb.h"

namespace spatter {
namespace {

struct WireForm : testing::Test {
  WireForm() : judge(people.rules()), validators(plain_validators()) {}

  ContactPtr contact(std::uint64_t version = 1) {
    identity.emplace(people.server_of(people.person()));
    place = people.place_of(*identity);
    return judge.judge(as_bytes(people.placed(*identity, place, version, {{"192.0.2.9", 4840}})))
        .value();
  }

  DirectoryPeople people;
  ContactJudge judge;
  RecordValidators validators;
  std::optional<Identity> identity;
  PlaceDraw place;
};

TEST_F(WireForm, AContactIsWhatItsRecordProves) {
  const auto one = contact(7);
  EXPECT_EQ(one->id, identity->server);
  EXPECT_EQ(one->person, identity->person);
  EXPECT_EQ(one->version, 7u);
  EXPECT_EQ(one->position, server_position(identity->server_key.public_key(), draw_of(place).value()));
  EXPECT_EQ(one->prefix, NetworkPrefix::of({"192.0.2.1", 1}));
  EXPECT_LE(one->memory_bytes(), 1024u);
  EXPECT_EQ(judge.judge(as_bytes(one->record)).value(), one);  // remembered
}

TEST_F(WireForm, AContactWithAllItsDrawsTakesAtMostOneKiB) {
  const auto own = people.server_of(people.person());
  const auto a = people.person(), b = people.person(), c = people.person();
  auto rules = people.rules();
  rules.may_have = [](const PlaceFacts&, const PersonId&) { return Result<void>{}; };
  ContactJudge any(rules);
  const auto contact = any.judge(as_bytes(people.placed(own, people.place_of(own, {&a, &b, &c}, 31, 1'000'000),
                                                        1'700'000'000'000, {{"203.0.113.7", 4840}}))).value();
  RecordProperty("bytes", static_cast<int>(contact->memory_bytes()));
  RecordProperty("record_bytes", static_cast<int>(contact->record.size()));
  EXPECT_LE(contact->memory_bytes(), 1024u);
  EXPECT_EQ(contact->place_number, 31u);
}

TEST_F(WireForm, ARecordThatProvesNoPlaceIsNoContact) {
  const auto identity = people.server_of(people.person());
  const auto refusal = [&](const PlaceDraw& place) {
    return judge.judge(as_bytes(people.placed(identity, place, 1, {}))).error().code;
  };
  const auto place = people.place_of(identity);
  auto other = place;
  other.draws[0].proof[70] ^= 1;
  EXPECT_EQ(refusal(other), Errc::corrupt);
  other = place;
  ++other.epoch;
  EXPECT_EQ(refusal(other), Errc::corrupt);
  other = place;
  ++other.number;
  EXPECT_EQ(refusal(other), Errc::corrupt);
  EXPECT_EQ(refusal(people.place_of(people.server_of(people.person()))), Errc::corrupt);
  other.draws.clear();
  EXPECT_EQ(refusal(other), Errc::invalid);
  const auto stranger = people.person();
  EXPECT_EQ(refusal(people.place_of(identity, {&stranger})), Errc::denied);
  const auto bare = people.record(identity, 1).SerializeAsString();
  EXPECT_EQ(judge.judge(as_bytes(bare)).error().code, Errc::invalid);
  auto altered = people.placed(identity, place, 1, {});
  altered[altered.size() / 2] ^= 1;
  EXPECT_FALSE(judge.judge(as_bytes(altered)));
  EXPECT_FALSE(judge.judge(as_bytes("nonsense")));
}

TEST_F(WireForm, APersonWhoIsNotTrustedHasNoContacts) {
  auto rules = people.rules();
  rules.may_enter = [](const ServerId&, const PersonId&) { return false; };
  ContactJudge strict(rules);
  EXPECT_EQ(strict.judge(as_bytes(contact()->record)).error().code, Errc::denied);
}

TEST_F(WireForm, QuestionsAndAnswersSurviveTheWire) {
  DirectoryRequest request;
  request.kind = DirectoryRequest::Kind::get;
  request.key = {RecordType::stripe, people.random.id<Digest>()};
  request.target = record_position(request.key);
  request.contacts = 8;
  request.within = 12345;
  request.known = {1, 2, 3};
  request.from = contact();
  const auto sent = to_wire(request);
  const auto read = read_request(sent.method, sent.body).value();
  EXPECT_EQ(read.request.kind, request.kind);
  EXPECT_EQ(read.request.key, request.key);
  EXPECT_EQ(read.request.target, request.target);
  EXPECT_EQ(read.request.contacts, 8u);
  EXPECT_EQ(read.request.within, 12345u);
  EXPECT_EQ(read.request.known, request.known);
  EXPECT_EQ(read.from, request.from->record);

  DirectoryReply reply;
  reply.contacts = {contact(), contact()};
  reply.record = validators.check(request.key, plain_value(5)).value();
  const auto got = read_reply(request, to_wire(sent.method, reply), judge, validators).value();
  EXPECT_EQ(got.contacts, reply.contacts);
  EXPECT_EQ(got.record->facts.version, 5u);
}

TEST_F(WireForm, PutsSurviveTheWire) {
  DirectoryRequest request;
  request.kind = DirectoryRequest::Kind::put;
  const RecordKey key{RecordType::stripe, people.random.id<Digest>()};
  request.records.push_back(validators.check(key, plain_value(5)).value());
  const auto sent = to_wire(request);
  const auto read = read_request(sent.method, sent.body).value();
  ASSERT_EQ(read.values.size(), 1u);
  EXPECT_EQ(read.values[0].first, key);
  EXPECT_EQ(read.values[0].second, plain_value(5));
  DirectoryReply reply;
  reply.stored = 9;  // more than were sent
  EXPECT_EQ(read_reply(request, to_wire(sent.method, reply), judge, validators)->stored, 1u);
}

TEST_F(WireForm, WhatIsOutOfBoundsIsRefused) {
  wire::DirectoryFind find;
  find.set_target(std::string(31, 'x'));
  EXPECT_FALSE(read_request(method::directory_find, find.SerializeAsString()));
  find.set_target(std::string(32, 'x'));
  find.set_contacts(1'000'000);
  EXPECT_EQ(read_request(method::directory_find, find.SerializeAsString())->request.contacts,
            contacts_per_reply_max);
  for (std::size_t i = 0; i <= known_per_request_max; ++i) find.add_known(i);
  EXPECT_FALSE(read_request(method::directory_find, find.SerializeAsString()));
  wire::DirectoryPut put;
  for (std::size_t i = 0; i <= records_per_put_max; ++i) put.add_records();
  EXPECT_FALSE(read_request(method::directory_put, put.SerializeAsString()));
  wire::DirectoryFind get;
  get.mutable_name()->set_type(9);
  get.mutable_name()->set_subject(std::string(32, 'x'));
  EXPECT_FALSE(read_request(method::directory_get, get.SerializeAsString()));
}

TEST_F(WireForm, AnAnswerWithMoreThanWasAskedForOrForgedIsNone) {
  DirectoryRequest request;
  request.kind = DirectoryRequest::Kind::find;
  request.contacts = 1;
  wire::DirectoryFound found;
  found.add_contacts(contact()->record);
  EXPECT_TRUE(read_reply(request, found.SerializeAsString(), judge, validators));
  found.add_contacts(contact()->record);
  EXPECT_FALSE(read_reply(request, found.SerializeAsString(), judge, validators));
  found.mutable_contacts()->RemoveLast();
  (*found.mutable_contacts(0))[40] ^= 1;
  EXPECT_FALSE(read_reply(request, found.SerializeAsString(), judge, validators));
}

TEST_F(WireForm, WhomWeSeeDifferentlyIsPassedOverAndAForgedContactSpoilsTheAnswer) {
  const auto good = contact(), unknown = contact();
  const PersonId untrusted = unknown->person;
  auto rules = people.rules();
  rules.may_enter = [untrusted](const ServerId&, const PersonId& person) { return person != untrusted; };
  ContactJudge ours(rules);
  const auto drawn_by_another = people.server_of(people.person());
  const auto stranger = people.person();
  const auto place = people.place_of(drawn_by_another, {&stranger});

  DirectoryRequest request;
  request.kind = DirectoryRequest::Kind::find;
  request.contacts = 8;
  wire::DirectoryFound found;
  found.add_contacts(unknown->record);
  EXPECT_TRUE(read_reply(request, found.SerializeAsString(), ours, validators).value().contacts.empty());
  found.add_contacts(good->record);
  found.add_contacts(people.placed(drawn_by_another, place, 1, {}));
  const auto reply = read_reply(request, found.SerializeAsString(), ours, validators).value();
  ASSERT_EQ(reply.contacts.size(), 1u);
  EXPECT_EQ(reply.contacts[0]->id, good->id);

  const auto refusal = [&](std::string record) {
    auto spoilt = found;
    spoilt.add_contacts(std::move(record));
    return read_reply(request, spoilt.SerializeAsString(), ours, validators).error().code;
  };
  const auto identity = people.server_of(people.person());
  auto forged = people.place_of(identity);
  forged.draws[0].proof[70] ^= 1;
  EXPECT_EQ(refusal(people.placed(identity, forged, 1, {})), Errc::corrupt);
  // The own signature does not hold, or the record is of another network: not a view, a lie.
  wire::Signed altered;
  ASSERT_TRUE(altered.ParseFromString(people.placed(identity, people.place_of(identity), 1, {})));
  (*altered.mutable_signature())[5] ^= 1;
  EXPECT_EQ(refusal(altered.SerializeAsString()), Errc::corrupt);
  DirectoryPeople elsewhere(2);
  const auto foreign = elsewhere.server_of(elsewhere.person());
  EXPECT_EQ(refusal(elsewhere.placed(foreign, elsewhere.place_of(foreign), 1, {})), Errc::corrupt);
  EXPECT_EQ(refusal(people.record(identity, 1).SerializeAsString()), Errc::invalid);
}

RC_GTEST_FIXTURE_PROP(WireForm, NoBytesBreakIt, (const std::string& bytes)) {
  DirectoryRequest request;
  request.kind = DirectoryRequest::Kind::get;
  request.contacts = 8;
  for (const auto number : {method::directory_ping, method::directory_find, method::directory_get,
                            method::directory_put})
    (void)read_request(number, bytes);
  (void)read_reply(request, bytes, judge, validators);
  (void)judge.judge(as_bytes(bytes));
}

}  // namespace
}  // namespace spatter
