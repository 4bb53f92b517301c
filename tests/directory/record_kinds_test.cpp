// The directory's records of each kind: what is read out of them, and all that is refused in them.
#include "directory/record_kinds.h"

#include <gtest/gtest.h>

#include "directory_people.h"
#include "wire/proto/directory.pb.h"

namespace spatter {
namespace {

constexpr WallMs now = 1'700'000'000'000;
constexpr std::uint64_t time_too_late = (std::uint64_t{1} << 53) + 1;

struct RecordKinds : testing::Test {
  ContactJudge::Rules judged_by() {
    auto rules = people.rules();
    rules.may_enter = [this](const ServerId& server, const PersonId& person) { return may(server, person); };
    return rules;
  }
  RecordRules ruled_by() {
    return {people.facts.network,
            [this](const ServerId& server, const PersonId& person) { return may(server, person); },
            [this](const PersonId& key, const PersonId& person) {
              return person != untrusted && (key == person || key == replaced_by);
            },
            [this](WallMs moment) { return people.facts.epoch_of(moment); }};
  }
  bool may(const ServerId& server, const PersonId& person) const {
    return server != retired && person != untrusted;
  }

  /// Errc::ok when it is accepted.
  Errc refusal(const RecordKey& key, std::string value) const {
    const auto checked = validators.check(key, std::move(value));
    return checked ? Errc::ok : checked.error().code;
  }

  wire::PersonServers person_message() {
    wire::PersonServers message;
    message.set_network(people.facts.network.raw());
    message.set_person(own.person.raw());
    message.set_version(now);
    message.set_expires_ms(now + 1000);
    return message;
  }
  Errc person_refusal(const wire::PersonServers& message) const {
    return refusal(person_key_of(own.person),
                   sign_message(own.person_key, kind::person_servers, message).SerializeAsString());
  }
  std::vector<ServerId> sorted_servers(std::size_t count) {
    std::vector<ServerId> servers;
    for (std::size_t i = 0; i < count; ++i) servers.push_back(people.random.id<ServerId>());
    std::ranges::sort(servers);
    return servers;
  }

  wire::StripeHolders stripe_message(unsigned k = 2, unsigned n = 6) {
    wire::StripeHolders message;
    message.set_stripe(stripe.raw());
    *message.mutable_certificate() = own.certificate;
    message.set_k(k);
    message.set_n(n);
    message.set_version(now);
    message.set_expires_ms(now + 1000);
    return message;
  }
  static void hold(wire::StripeHolders& message, const ServerId& server, std::string indices) {
    auto* holder = message.add_holders();
    holder->set_server(server.raw());
    holder->set_indices(std::move(indices));
  }
  Errc stripe_refusal(const wire::StripeHolders& message) const {
    return refusal(stripe_key_of(stripe, own.server),
                   sign_message(own.server_key, kind::stripe_holders, message).SerializeAsString());
  }

  HealthFacts health() const {
    return {.epoch = people.facts.epoch_of(now), .stripes = 10, .full = 4, .safe = 3, .at_risk = 2, .lost = 1,
            .made_ms = now};
  }
  Errc health_refusal(const HealthFacts& facts) const {
    return refusal(health_key_of(facts.epoch, own.server), make_health(own, facts));
  }

  struct Value {
    RecordKey key;
    std::string value;
  };
  /// One good value of each kind.
  std::vector<Value> one_of_each() {
    return {{server_key_of(own.server), people.placed(own, people.place_of(own), now, {{"192.0.2.9", 4840}})},
            {person_key_of(own.person), make_person_servers(own, sorted_servers(3), now)},
            {stripe_key_of(stripe, own.server),
             make_stripe_holders(own, stripe, 1, 3, {{people.random.id<ServerId>(), {0, 2}}}, now)},
            {health_key_of(health().epoch, own.server), make_health(own, health())}};
  }

  DirectoryPeople people;
  Identity own = people.server_of(people.person());
  StripeId stripe = people.random.id<StripeId>();
  ServerId retired;
  PersonId untrusted, replaced_by;
  ContactJudge judge{judged_by()};
  RecordValidators validators = record_validators(judge, ruled_by());
};

TEST_F(RecordKinds, EachIsReadAsItWasMade) {
  const WallMs lasts = std::chrono::duration_cast<std::chrono::milliseconds>(record_lasts).count();
  for (const auto& [key, value] : one_of_each()) {
    const auto record = validators.check(key, value);
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ((*record)->facts.version, static_cast<std::uint64_t>(now));
    EXPECT_EQ((*record)->facts.expires_ms, now + lasts);
    EXPECT_EQ((*record)->facts.person, own.person);
  }

  const auto servers = sorted_servers(5);
  const std::vector backwards(servers.rbegin(), servers.rend());
  const auto person =
      read_person_servers(as_bytes(make_person_servers(own, backwards, now)), people.facts.network).value();
  EXPECT_EQ(person.person, own.person);
  EXPECT_EQ(person.servers, servers);
  EXPECT_EQ(person.signed_by, own.person);

  const std::vector<HeldShards> holders{{servers[0], {0, 5}}, {servers[1], {1, 2}}, {servers[2], {3, 4}}};
  const auto held =
      read_stripe_holders(as_bytes(make_stripe_holders(own, stripe, 2, 6,
                                                       {{servers[2], {4, 3}}, {servers[0], {5, 0}}, holders[1]}, now)),
                          people.facts.network).value();
  EXPECT_EQ(held.stripe, stripe);
  EXPECT_EQ(held.person, own.person);
  EXPECT_EQ(held.owner, own.server);
  EXPECT_EQ(held.k, 2u);
  EXPECT_EQ(held.n, 6u);
  EXPECT_EQ(held.holders, holders);

  const auto report = read_health(as_bytes(make_health(own, health())), people.facts.network).value();
  EXPECT_EQ(report.person, own.person);
  EXPECT_EQ(report.reporter, own.server);
  EXPECT_EQ(report.epoch, health().epoch);
  EXPECT_EQ(std::tuple(report.stripes, report.full, report.safe, report.at_risk, report.lost),
            std::tuple(10u, 4u, 3u, 2u, 1u));
}

TEST_F(RecordKinds, AFlippedByteAnywhereIsRefused) {
  for (const auto& [key, value] : one_of_each()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      for (const int flip : {0x01, 0x80}) {
        auto altered = value;
        altered[i] = static_cast<char>(altered[i] ^ flip);
        ASSERT_FALSE(validators.check(key, altered))
            << "type " << static_cast<int>(key.type) << ", byte " << i << " of " << value.size();
      }
    }
    for (std::size_t length = 0; length < value.size(); length += 7)
      ASSERT_FALSE(validators.check(key, value.substr(0, length)));
  }
}

TEST_F(RecordKinds, AnotherNetworksRecordIsRefused) {
  // The same persons and keys in a network of their own.
  auto elsewhere = own;
  elsewhere.network = people.random.id<NetworkId>();
  elsewhere.certificate =
      make_certificate(own.person_key, elsewhere.network, own.server_key.public_key(), 1000);
  EXPECT_EQ(refusal(person_key_of(own.person), make_person_servers(elsewhere, {}, now)), Errc::invalid);
  EXPECT_NE(refusal(stripe_key_of(stripe, own.server), make_stripe_holders(elsewhere, stripe, 1, 3, {}, now)),
            Errc::ok);
  EXPECT_NE(refusal(health_key_of(health().epoch, own.server), make_health(elsewhere, health())), Errc::ok);
  const auto place = people.place_of(elsewhere);
  EXPECT_EQ(refusal(server_key_of(own.server),
                    make_server_record(elsewhere, {}, 1000, 500, now, &place).SerializeAsString()),
            Errc::corrupt);
}

TEST_F(RecordKinds, ARecordIsOfTheNameItIsAboutAlone) {
  const auto another = people.server_of(people.person());
  const auto all = one_of_each();
  EXPECT_EQ(refusal(server_key_of(another.server), all[0].value), Errc::invalid);
  EXPECT_EQ(refusal(person_key_of(another.person), all[1].value), Errc::invalid);
  EXPECT_EQ(refusal(stripe_key_of(people.random.id<StripeId>(), own.server), all[2].value), Errc::invalid);
  EXPECT_EQ(refusal(stripe_key_of(stripe, another.server), all[2].value), Errc::invalid);
  EXPECT_EQ(refusal(health_key_of(health().epoch + 1, own.server), all[3].value), Errc::invalid);
  EXPECT_EQ(refusal(health_key_of(health().epoch, another.server), all[3].value), Errc::invalid);
  // Nor does a value of one type serve as one of another.
  for (const auto& named : all)
    for (const auto& shown : all)
      if (named.key != shown.key)
        EXPECT_NE(refusal({named.key.type, shown.key.subject}, shown.value), Errc::ok);
}

TEST_F(RecordKinds, WhatAnOldKeySignedOrCertifiedCountsNoMore) {
  const auto new_key = people.person();
  PersonId current = own.person;
  const auto has_now = [&](const PersonId& key, const PersonId& person) {
    return key == (person == own.person ? current : person);
  };
  auto contacts = judged_by();
  contacts.signs_for = has_now;
  ContactJudge strict{contacts};
  auto rules = ruled_by();
  rules.signs_for = has_now;
  const auto checked = record_validators(strict, rules);
  const auto refusals = [&] {
    std::vector<Errc> result;
    for (const auto& [key, value] : one_of_each()) {
      const auto done = checked.check(key, value);
      result.push_back(done ? Errc::ok : done.error().code);
    }
    return result;
  };
  EXPECT_EQ(refusals(), std::vector(4, Errc::ok));
  current = person_id(new_key.public_key());
  strict.forget_all();
  EXPECT_EQ(refusals(), std::vector(4, Errc::denied));
  own = make_identity(people.facts.network, new_key, own.server_key, now, own.person);
  EXPECT_EQ(refusals(), std::vector(4, Errc::ok));
}

TEST_F(RecordKinds, OnlyWhoMaySaySoSigns) {
  const auto another = people.server_of(people.person());
  const auto message = person_message();
  const auto signed_by = [&](const SigningKey& key) {
    return refusal(person_key_of(own.person), sign_message(key, kind::person_servers, message).SerializeAsString());
  };
  EXPECT_EQ(signed_by(own.person_key), Errc::ok);
  EXPECT_EQ(signed_by(another.person_key), Errc::denied);
  EXPECT_EQ(signed_by(own.server_key), Errc::denied);
  replaced_by = another.person;
  EXPECT_EQ(signed_by(another.person_key), Errc::ok);

  // Somebody else's certificate beside one's own signature.
  const auto stripes = stripe_message();
  EXPECT_EQ(refusal(stripe_key_of(stripe, own.server),
                    sign_message(another.server_key, kind::stripe_holders, stripes).SerializeAsString()),
            Errc::corrupt);
  auto posing = another;
  posing.certificate = own.certificate;
  EXPECT_EQ(refusal(health_key_of(health().epoch, own.server), make_health(posing, health())), Errc::corrupt);
  // Signed as another kind of record.
  EXPECT_EQ(refusal(stripe_key_of(stripe, own.server),
                    sign_message(own.server_key, kind::health, stripes).SerializeAsString()),
            Errc::corrupt);
}

TEST_F(RecordKinds, WhoIsNotTrustedOrIsRetiredIsDenied) {
  const auto all = one_of_each();
  retired = own.server;
  EXPECT_EQ(refusal(all[0].key, all[0].value), Errc::denied);
  EXPECT_EQ(refusal(all[1].key, all[1].value), Errc::ok);  // the person's own word, whichever server tells it
  EXPECT_EQ(refusal(all[2].key, all[2].value), Errc::denied);
  EXPECT_EQ(refusal(all[3].key, all[3].value), Errc::denied);
  retired = {};
  untrusted = own.person;
  for (const auto& [key, value] : all) EXPECT_EQ(refusal(key, value), Errc::denied);
  untrusted = {};
  for (const auto& [key, value] : all) EXPECT_EQ(refusal(key, value), Errc::ok);
}

TEST_F(RecordKinds, APersonsServersAreInOrderEachOnceAndNotTooMany) {
  const auto list = [&](const std::vector<ServerId>& servers) {
    auto message = person_message();
    for (const auto& server : servers) message.add_servers(server.raw());
    return person_refusal(message);
  };
  auto servers = sorted_servers(Roster::servers_per_person_max + 1);
  EXPECT_EQ(list(servers), Errc::invalid);
  servers.pop_back();
  EXPECT_EQ(list(servers), Errc::ok);
  std::swap(servers[3], servers[4]);
  EXPECT_EQ(list(servers), Errc::invalid);
  EXPECT_EQ(list({servers[0], servers[0]}), Errc::invalid);
  auto message = person_message();
  message.add_servers("short");
  EXPECT_EQ(person_refusal(message), Errc::invalid);
  // Whoever has more lists as many as he may.
  const auto many = make_person_servers(own, sorted_servers(Roster::servers_per_person_max + 9), now);
  EXPECT_EQ(read_person_servers(as_bytes(many), people.facts.network)->servers.size(),
            Roster::servers_per_person_max);
}

TEST_F(RecordKinds, AStripesHoldersMakeSense) {
  const auto servers = sorted_servers(16);
  const auto with = [&](std::initializer_list<std::pair<int, std::string>> holders) {
    auto message = stripe_message();
    for (const auto& [server, indices] : holders) hold(message, servers[static_cast<std::size_t>(server)], indices);
    return stripe_refusal(message);
  };
  EXPECT_EQ(with({}), Errc::ok);
  EXPECT_EQ(with({{0, {0, 1, 5}}, {1, {2, 3, 4}}}), Errc::ok);
  EXPECT_EQ(with({{1, {2, 3, 4}}, {0, {0, 1, 5}}}), Errc::invalid);
  EXPECT_EQ(with({{0, {0}}, {0, {1}}}), Errc::invalid);
  EXPECT_EQ(with({{0, {}}}), Errc::invalid);
  EXPECT_EQ(with({{0, {1, 0}}}), Errc::invalid);
  EXPECT_EQ(with({{0, {1, 1}}}), Errc::invalid);
  EXPECT_EQ(with({{0, {6}}}), Errc::invalid);
  EXPECT_EQ(with({{0, {'\xff'}}}), Errc::invalid);
  auto message = stripe_message();
  hold(message, servers[0], {0});
  message.mutable_holders(0)->set_server("short");
  EXPECT_EQ(stripe_refusal(message), Errc::invalid);

  // Each shard may stand twice while they move, and no oftener.
  message = stripe_message();
  for (std::size_t i = 0; i < 12; ++i) hold(message, servers[i], {static_cast<char>(i % 6)});
  EXPECT_EQ(stripe_refusal(message), Errc::ok);
  hold(message, servers[12], {0});
  EXPECT_EQ(stripe_refusal(message), Errc::invalid);

  EXPECT_EQ(stripe_refusal(stripe_message(85, 255)), Errc::ok);
  EXPECT_EQ(stripe_refusal(stripe_message(86, 258)), Errc::invalid);
  EXPECT_EQ(stripe_refusal(stripe_message(0, 0)), Errc::invalid);
  EXPECT_EQ(stripe_refusal(stripe_message(2, 5)), Errc::invalid);
  EXPECT_EQ(stripe_refusal(stripe_message(0x55555556, 2)), Errc::invalid);  // 3k wraps round to 2
  message = stripe_message();
  message.set_stripe("short");
  EXPECT_EQ(stripe_refusal(message), Errc::invalid);
}

TEST_F(RecordKinds, AHealthReportAddsUpAndIsOfItsTime) {
  EXPECT_EQ(health_refusal(health()), Errc::ok);
  auto facts = health();
  facts.lost = 2;
  EXPECT_EQ(health_refusal(facts), Errc::invalid);
  facts.stripes = 11;
  EXPECT_EQ(health_refusal(facts), Errc::ok);
  // Parts that come to the whole by overflowing.
  facts = health();
  facts.full = ~std::uint64_t{0};
  facts.safe = 11;
  facts.at_risk = facts.lost = 0;
  EXPECT_EQ(health_refusal(facts), Errc::invalid);
  facts = health();
  facts.stripes = facts.full = ~std::uint64_t{0};
  facts.safe = facts.at_risk = facts.lost = 0;
  EXPECT_EQ(health_refusal(facts), Errc::invalid);

  // Clocks may differ by an epoch.
  const auto epoch = health().epoch;
  for (const int away : {-2, -1, 1, 2}) {
    facts = health();
    facts.epoch = epoch + static_cast<std::uint64_t>(away);
    EXPECT_EQ(health_refusal(facts), std::abs(away) == 1 ? Errc::ok : Errc::invalid) << away;
  }
  facts = health();
  facts.epoch = ~std::uint64_t{0};
  EXPECT_EQ(health_refusal(facts), Errc::invalid);
  facts = health();
  facts.made_ms = 0;
  EXPECT_EQ(health_refusal(facts), Errc::invalid);
  facts.made_ms = static_cast<WallMs>(time_too_late);
  EXPECT_EQ(health_refusal(facts), Errc::invalid);
}

TEST_F(RecordKinds, TimesThatMakeNoSenseAreRefused) {
  const auto times = [&](std::uint64_t version, std::uint64_t expires) {
    auto person = person_message();
    person.set_version(version);
    person.set_expires_ms(expires);
    auto held = stripe_message();
    held.set_version(version);
    held.set_expires_ms(expires);
    const auto refused = person_refusal(person);
    EXPECT_EQ(stripe_refusal(held), refused);
    return refused;
  };
  EXPECT_EQ(times(1, 2), Errc::ok);
  EXPECT_EQ(times(0, 2), Errc::invalid);
  EXPECT_EQ(times(now, now), Errc::invalid);
  EXPECT_EQ(times(now, now - 1), Errc::invalid);
  EXPECT_EQ(times(now, time_too_late), Errc::invalid);
  EXPECT_EQ(times(time_too_late, time_too_late + 1), Errc::invalid);
  const auto place = people.place_of(own);
  for (const std::uint64_t version : {time_too_late, std::uint64_t{std::numeric_limits<std::int64_t>::max()}})
    EXPECT_EQ(refusal(server_key_of(own.server), people.placed(own, place, version, {})), Errc::invalid);
}

TEST_F(RecordKinds, NamesOfRecordsDoNotMeet) {
  const auto other = people.random.id<StripeId>();
  const auto server = people.random.id<ServerId>();
  EXPECT_NE(stripe_key_of(stripe, own.server), stripe_key_of(other, own.server));
  EXPECT_NE(stripe_key_of(stripe, own.server), stripe_key_of(stripe, server));
  EXPECT_NE(health_key_of(1, server), health_key_of(256, server));
  // A stripe and its owner the other way round are another record.
  EXPECT_NE(stripe_key_of(stripe, server), stripe_key_of(StripeId{server.bytes}, ServerId{stripe.bytes}));
  // Server and person of one hash differ by type.
  EXPECT_NE(record_position(server_key_of(server)), record_position(person_key_of(PersonId{server.bytes})));
}

}  // namespace
}  // namespace spatter
