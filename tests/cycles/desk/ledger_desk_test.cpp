// Aim: servers come to the same accounts, whoever dies, lies or forgets, and debt is only what two of three drawn
// witnesses saw.
// Method: desks over real calls in virtual time, with epochs of a minute and months of twenty.
#include "cycles/ledger_desk.h"

#include "blob_file.h"
#include "cluster.h"
#include "crypto/hash.h"
#include "cycles/job.h"
#include "cycles/work_desk.h"
#include "net/methods.h"

namespace spatter {
namespace {

using cycles::Answer;
using cycles::Fuel;

constexpr std::uint32_t epoch_seconds = 60;
constexpr Fuel speed = 1'000'000;
constexpr std::uint32_t half = 500'000;
constexpr Fuel epoch_promise = speed / 2 * epoch_seconds;

/// Takes as long as its order's fuel limit says, and makes a line.
class LineRunner final : public PieceRunner {
 public:
  explicit LineRunner(Runtime& runtime) : runtime_(runtime) {}
  Result<void> can_run(const wire::WorkOrder&) const override { return {}; }
  Task<Result<PieceDone>> run(wire::WorkOrder order, PieceFiles files) override {
    co_await runtime_.sleep(std::chrono::seconds(1));
    const auto written = co_await runtime_.blocking([&] {
      return write_file_durably(runtime_.disk(), files.output, as_bytes("a result\n"));
    });
    CO_TRY_VOID(written);
    co_return PieceDone{.fuel = order.fuel_max()};
  }

 private:
  Runtime& runtime_;
};

struct Desks : Cluster {
  struct Place {
    explicit Place(Server& server) : runner(server.runtime()) {}
    std::unique_ptr<WorkWire> wire;
    std::unique_ptr<LedgerDesk> ledger;
    std::unique_ptr<WorkDesk> work;
    LineRunner runner;
    bool willing = true;
  };

  explicit Desks(unsigned count) {
    genesis.epoch_seconds = epoch_seconds;
    genesis.cycles_month_epochs = 20;
    for (unsigned i = 0; i < count; ++i) add();
    genesis.created_ms = static_cast<std::uint64_t>(at(0).runtime().wall_ms());
    for (auto& server : servers) open(*server);
  }
  ~Desks() {
    while (!places.empty()) close(*places.begin()->first);
  }

  void open(Server& server) {
    auto place = std::make_unique<Place>(server);
    place->wire = std::make_unique<WorkWire>(*server.rpc, server.identity);
    place->ledger = std::make_unique<LedgerDesk>(
        LedgerDesk::Parts{server.runtime(), *place->wire, *server.members, server.identity, genesis});
    ASSERT_TRUE(wait(place->ledger->start()));
    auto* raw = place.get();
    const auto may_work = [raw](const PersonId&) -> Result<void> {
      if (!raw->willing) return fail(Errc::busy, "somebody is at this machine");
      return {};
    };
    place->work = std::make_unique<WorkDesk>(WorkDesk::Parts{server.runtime(), *place->wire, *server.members, server.identity,
                                                             place->runner, place->ledger.get(), may_work});
    ASSERT_TRUE(wait(place->work->start()));
    places[&server] = std::move(place);
  }
  void close(Server& server) {
    auto& place = *places.at(&server);
    wait(place.work->stop());
    wait(place.ledger->stop());
    places.erase(&server);
  }
  Server& at(std::size_t i) { return *servers[i]; }
  Place& place(std::size_t i) { return *places.at(servers[i].get()); }
  LedgerDesk& desk(std::size_t i) { return *place(i).ledger; }
  const cycles::Ledger& ledger(std::size_t i) { return desk(i).ledger(); }
  PersonId person(std::size_t i) { return at(i).identity.person; }

  std::uint64_t now_epoch() { return ledger_rules(genesis).epoch_of(at(0).runtime().wall_ms()); }
  /// To shortly after the beginning of an epoch.
  void run_to(std::uint64_t number) {
    const auto rules = ledger_rules(genesis);
    const auto ms = rules.start_of(number) + 2000 - at(0).runtime().wall_ms();
    if (ms > 0) world.run_for(std::chrono::milliseconds(ms));
  }
  void pledge_all(std::uint32_t share_ppm = half) {
    for (auto& [server, place] : places) place->ledger->set_pledge(share_ppm, {});
  }
  Digest work(std::uint64_t number) { return sha256(as_bytes(std::to_string(number))); }

  struct Traded {
    cycles::EntryId lease;
    bool entitled = false;
    Answer::Kind answer = Answer::Kind::unwilling;
  };
  /// Asked and answered, without a piece.
  Traded ask(std::size_t asker, std::size_t worker, Fuel fuel, bool best_effort = false, bool unwilling = false) {
    const auto name = work(++asked);
    const auto lease = wait(desk(asker).ask(at(worker).id(), fuel, name, best_effort)).value();
    const auto given = wait(desk(worker).answer(at(asker).id(), name, lease.record, unwilling)).value();
    Traded traded{lease.lease, lease.entitled, given.answer};
    if (given.record) EXPECT_TRUE(wait(desk(asker).answered(lease.lease, *given.record)));
    return traded;
  }
  void give(std::size_t asker, std::size_t worker, const Traded& traded, Fuel fuel, bool receipt = true) {
    const auto delivery = wait(desk(worker).deliver(traded.lease, fuel, work(asked))).value();
    EXPECT_TRUE(wait(desk(asker).delivered(traded.lease, delivery)));
    if (receipt)
      wait(desk(asker).receipt(work(asked), at(worker).id(), fuel,
                               std::chrono::milliseconds(std::max<Fuel>(1, fuel * 1000 / (speed / 2)))));
  }
  /// Everybody pledges half, and has shown his speed to the next: from epoch 7 on each promises epoch_promise an epoch, as is known in epoch 9.
  void open_market() {
    run_to(0);
    pledge_all();
    run_to(4);
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const auto next = (i + 1) % servers.size();
      give(i, next, ask(i, next, speed, true), speed);
    }
    run_to(9);
  }
  cycles::MonthView month(std::size_t seen_by, std::size_t of, std::uint64_t number) {
    for (const auto& view : ledger(seen_by).months(person(of)))
      if (view.month == number) return view;
    return {};
  }
  std::uint64_t own_entries(std::size_t seen_by, std::size_t of) {
    const auto ends = ledger(seen_by).whole_until();
    const auto end = ends.find(at(of).id());
    return end == ends.end() ? 0 : end->second;
  }
  void expect_same_accounts() {
    for (std::size_t by = 1; by < servers.size(); ++by) {
      if (!places.contains(servers[by].get())) continue;
      for (std::size_t of = 0; of < servers.size(); ++of)
        EXPECT_EQ(ledger(0).months(person(of)), ledger(by).months(person(of))) << "of " << of << " by " << by;
    }
  }

  GenesisFacts genesis;
  std::map<Server*, std::unique_ptr<Place>> places;
  std::uint64_t asked = 0;
};

TEST(LedgerDesk, PledgesReachEverybodyAndBeginThreeEpochsLater) {
  Desks d(5);
  d.run_to(1);
  d.pledge_all();
  d.run_to(3);
  EXPECT_EQ(d.ledger(2).servers(d.person(4)).at(0).share_ppm, 0u);
  d.run_to(8);
  for (std::size_t by = 0; by < 5; ++by)
    for (std::size_t of = 0; of < 5; ++of) {
      const auto servers = d.ledger(by).servers(d.person(of));
      ASSERT_EQ(servers.size(), 1u);
      EXPECT_EQ(servers[0].share_ppm, half);
      EXPECT_EQ(servers[0].speed, 0u);
    }
  // Said twice it is one entry; less begins with the next month.
  d.pledge_all();
  d.desk(0).set_pledge(100'000, {});
  d.run_to(12);
  EXPECT_EQ(d.own_entries(1, 3), 1u);
  EXPECT_EQ(d.ledger(3).servers(d.person(0)).at(0).share_ppm, half);
  EXPECT_EQ(d.ledger(3).servers(d.person(0)).at(0).coming->epoch, 20u);
  d.run_to(23);
  EXPECT_EQ(d.ledger(3).servers(d.person(0)).at(0).share_ppm, 100'000u);
  // More, from the next month on.
  d.desk(0).set_pledge(100'000, cycles::Pledge{half, 2});
  d.run_to(38);
  EXPECT_EQ(d.ledger(1).servers(d.person(0)).at(0).share_ppm, 100'000u);
  d.run_to(43);
  EXPECT_EQ(d.ledger(1).servers(d.person(0)).at(0).share_ppm, half);
}

TEST(LedgerDesk, WhatWasGivenCountsEverywhere) {
  Desks d(5);
  d.open_market();
  EXPECT_EQ(d.ledger(3).servers(d.person(1)).at(0).in_epoch, epoch_promise);
  const auto traded = d.ask(0, 1, 10 * speed);
  EXPECT_TRUE(traded.entitled);
  EXPECT_EQ(traded.answer, Answer::Kind::accepted);
  d.give(0, 1, traded, 10 * speed);
  EXPECT_EQ(d.desk(1).unsettled().asked, 10 * speed);
  EXPECT_EQ(d.desk(0).unsettled().received, 10 * speed + speed);  // and the one that showed the speed
  d.run_to(40);
  const auto view = d.month(4, 1, 0);
  EXPECT_TRUE(view.closed);
  EXPECT_EQ(view.delivered, 10 * speed);
  EXPECT_EQ(view.beyond, speed);
  EXPECT_EQ(view.owed, 0u);
  EXPECT_EQ(d.month(4, 0, 0).spent, 10 * speed);
  d.expect_same_accounts();
}

TEST(LedgerDesk, WhoHasNothingToSpendAsksForFavours) {
  Desks d(4);
  d.run_to(1);
  const auto traded = d.ask(0, 1, speed);
  EXPECT_FALSE(traded.entitled);
  EXPECT_EQ(traded.answer, Answer::Kind::accepted);
  // Unwilling to do a favour: nothing is entered.
  const auto before = d.ledger(1).size();
  EXPECT_EQ(d.ask(0, 1, speed, true, true).answer, Answer::Kind::unwilling);
  EXPECT_EQ(d.ledger(1).size(), before + 1);  // the lease
}

TEST(LedgerDesk, WhoIsNotThereOwes) {
  Desks d(6);
  d.open_market();
  d.close(d.at(1));
  d.kill(d.at(1));
  const auto lease = d.wait(d.desk(0).ask(d.at(1).id(), 10 * speed, d.work(99))).value();
  ASSERT_TRUE(lease.entitled);
  d.desk(0).not_given(lease.lease);
  d.run_to(35);
  const auto view = d.month(3, 1, 0);
  EXPECT_TRUE(view.closed);
  EXPECT_EQ(view.owed, 10 * speed);
  EXPECT_EQ(view.delivered, 0u);
  EXPECT_GT(view.debt, 0u);
  // Given back to who asked.
  EXPECT_EQ(d.month(3, 0, 0).spent, 0u);
  EXPECT_GT(d.month(2, 1, 1).docked_ppm, 0u);
  d.expect_same_accounts();
}

TEST(LedgerDesk, WhoRefusesOwes) {
  Desks d(6);
  d.open_market();
  d.place(2).willing = false;
  const auto traded = d.ask(0, 2, 5 * speed, false, true);
  EXPECT_TRUE(traded.entitled);
  EXPECT_EQ(traded.answer, Answer::Kind::unwilling);
  d.desk(0).not_given(traded.lease);
  d.run_to(35);
  EXPECT_EQ(d.month(4, 2, 0).owed, 5 * speed);
  d.expect_same_accounts();
}

TEST(LedgerDesk, FalseAccusationsComeToNothing) {
  Desks d(6);
  d.open_market();
  const auto traded = d.ask(0, 1, 10 * speed);
  ASSERT_TRUE(traded.entitled);
  d.desk(0).not_given(traded.lease);
  d.run_to(35);
  EXPECT_EQ(d.month(3, 1, 0).owed, 0u);
  EXPECT_TRUE(d.month(3, 1, 0).closed);
}

/// The asker takes the result and says nothing more: witnesses are shown it.
TEST(LedgerDesk, WhatWasDeliveredAndNotReceiptedIsShownToWitnesses) {
  for (const bool contradicted : {false, true}) {
    Desks d(6);
    d.open_market();
    JobId job;
    job.bytes.fill(7);
    const auto name = work_name(d.at(0).id(), job.view(), 0);
    const auto offer = [&](std::size_t worker) {
      const auto lease = d.wait(d.desk(0).ask(d.at(worker).id(), 3 * speed, name)).value();
      EXPECT_TRUE(lease.entitled);
      wire::WorkOfferRequest request;
      auto& order = *request.mutable_order();
      order.set_job(job.raw());
      order.set_seed(std::string(32, 's'));
      order.set_fuel_max(3 * speed);
      order.set_output_bytes_max(1000);
      *request.mutable_lease() = lease.record;
      const auto call = [&](std::uint16_t method, std::string body) {
        return d.wait(d.at(0).rpc->call(d.at(worker).id(), {.method = method, .body = std::move(body), .payload = {}}));
      };
      EXPECT_TRUE(call(method::work_offer, request.SerializeAsString()));
      d.world.run_for(10s);
      wire::WorkRevealRequest reveal;
      reveal.set_job(job.raw());
      const auto shown = call(method::work_reveal, reveal.SerializeAsString());
      EXPECT_TRUE(shown);
      wire::WorkRevealReply message;
      EXPECT_TRUE(message.ParseFromString(shown->body));
      EXPECT_TRUE(message.has_delivery());
      wire::WorkReleaseRequest release;
      release.set_job(job.raw());
      EXPECT_TRUE(call(method::work_release, release.SerializeAsString()));
      return std::pair(lease.lease, message);
    };
    const auto [lease, message] = offer(1);
    EXPECT_TRUE(d.wait(d.desk(0).delivered(lease, message.delivery())));
    if (contradicted) {
      // Somebody else has come to another result, and that one was receipted.
      const auto other = d.wait(d.desk(0).ask(d.at(2).id(), 3 * speed, name)).value();
      const auto given = d.wait(d.desk(2).answer(d.at(0).id(), name, other.record, false)).value();
      EXPECT_TRUE(d.wait(d.desk(0).answered(other.lease, given.record.value())));
      const auto delivery = d.wait(d.desk(2).deliver(other.lease, 3 * speed, d.work(1))).value();
      EXPECT_TRUE(d.wait(d.desk(0).delivered(other.lease, delivery)));
      d.wait(d.desk(0).receipt(name, d.at(2).id(), 3 * speed, 6s));
    }
    d.run_to(35);
    EXPECT_EQ(d.month(3, 1, 0).delivered, contradicted ? 0 : 3 * speed);
    d.expect_same_accounts();
  }
}

TEST(LedgerDesk, GoesOnAfterARestartAndAfterALossOfTheDatabase) {
  Desks d(4);
  d.open_market();
  const auto before = d.own_entries(0, 1);
  ASSERT_GE(before, 3u);
  d.close(d.at(1));
  d.open(d.at(1));
  EXPECT_EQ(d.own_entries(1, 1), before);
  d.world.run_for(10s);
  d.give(0, 1, d.ask(0, 1, speed), speed);
  EXPECT_GT(d.own_entries(1, 1), before);
  d.run_to(11);
  const auto known = d.own_entries(0, 1);
  // The drive was lost, and the chain with it: first the others are asked how far it goes.
  d.close(d.at(1));
  for (const auto* name : {"cycles.db", "cycles.db-wal", "cycles.db-shm"}) (void)d.at(1).runtime().disk().remove(name);
  d.open(d.at(1));
  d.desk(1).set_pledge(200'000, {});
  d.run_to(13);
  EXPECT_EQ(d.own_entries(1, 1), known + 1);
  EXPECT_EQ(d.own_entries(2, 1), known + 1);
  EXPECT_FALSE(d.ledger(2).barred_until(d.person(1)));
  d.run_to(40);
  d.expect_same_accounts();
}

TEST(LedgerDesk, WhoComesLateGetsEverything) {
  Desks d(4);
  d.open_market();
  d.add();
  d.open(d.at(4));
  d.run_to(10);
  EXPECT_EQ(d.ledger(4).size(), d.ledger(0).size());
  d.run_to(34);
  d.expect_same_accounts();
}

/// Somebody else says that the worker refuses, has delivered and was receipted; and an order that nobody could do is no refusal.
TEST(LedgerDesk, OnlyThoseConcernedSayWhatWasSaid) {
  Desks d(6);
  d.open_market();
  JobId job;
  job.bytes.fill(3);
  const auto name = work_name(d.at(0).id(), job.view(), 0);
  const auto lease = d.wait(d.desk(0).ask(d.at(1).id(), 3 * speed, name)).value();
  ASSERT_TRUE(lease.entitled);
  const auto& liar = d.at(2).identity;
  auto number = d.own_entries(0, 2);
  cycles::ChainHead head{number, d.ledger(0).find(liar.server, number)->id, d.ledger(0).find(liar.server, number)->made_ms};
  for (const cycles::What& what : std::vector<cycles::What>{
           cycles::Answer{lease.lease, Answer::Kind::unwilling}, cycles::Delivery{lease.lease, 7, {}}}) {
    const auto made = cycles::make_entry(liar.server_key, liar.network, liar.person, head, what, d.at(2).runtime().wall_ms());
    head = {made.entry.number, made.entry.id, made.entry.made_ms};
    wire::CyclesPushRequest request;
    *request.add_entries() = made.record;
    for (std::size_t to : {0, 1, 3, 4, 5})
      EXPECT_TRUE(d.wait(d.at(2).rpc->call(d.at(to).id(), {.method = method::cycles_push, .body = request.SerializeAsString(), .payload = {}})));
  }
  ASSERT_EQ(d.own_entries(1, 2), head.number);
  const auto before = d.own_entries(1, 1);
  wire::WorkOfferRequest request;
  auto& order = *request.mutable_order();
  order.set_job(job.raw());
  order.set_seed("too short");
  *request.mutable_lease() = lease.record;
  EXPECT_FALSE(d.wait(d.at(0).rpc->call(d.at(1).id(), {.method = method::work_offer, .body = request.SerializeAsString(), .payload = {}})));
  EXPECT_EQ(d.own_entries(1, 1), before);
  d.desk(0).not_given(lease.lease);
  d.world.run_for(30s);
  const auto given = d.wait(d.desk(1).answer(d.at(0).id(), name, lease.record, false)).value();
  EXPECT_EQ(given.answer, Answer::Kind::accepted);
  EXPECT_TRUE(given.promised);
  EXPECT_EQ(d.own_entries(1, 1), before + 1);
  EXPECT_TRUE(d.wait(d.desk(0).answered(lease.lease, given.record.value())));
  const auto delivery = d.wait(d.desk(1).deliver(lease.lease, 3 * speed, d.work(5))).value();
  EXPECT_TRUE(d.wait(d.desk(0).delivered(lease.lease, delivery)));
  d.wait(d.desk(0).receipt(name, d.at(1).id(), 3 * speed, 6s));
  EXPECT_TRUE(d.desk(1).receipted(lease.lease) || (d.world.run_for(5s), d.desk(1).receipted(lease.lease)));
  d.run_to(35);
  EXPECT_EQ(d.month(4, 1, 0).owed, 0u);
  EXPECT_EQ(d.month(4, 1, 0).delivered, 3 * speed);
}

TEST(LedgerDesk, TheDriveItselfIsNoFolderToBeRemoved) {
  Desks d(1);
  auto& disk = d.at(0).runtime().disk();
  const auto removed = remove_folder(disk, "");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, Errc::invalid);
  EXPECT_TRUE(disk.stat("cycles.db"));
}

/// The third says different things to the first and the second.
TEST(LedgerDesk, TwoEntriesWithOneNumberAreProven) {
  Desks d(4);
  d.open_market();
  const auto& liar = d.at(2).identity;
  const auto last = d.own_entries(0, 2);
  const cycles::ChainHead head{last, d.ledger(0).find(liar.server, last)->id, d.at(2).runtime().wall_ms()};
  const auto push = [&](std::size_t to, std::uint32_t share) {
    const auto made = cycles::make_entry(liar.server_key, liar.network, liar.person, head, cycles::Pledge{share, 0}, head.made_ms);
    wire::CyclesPushRequest request;
    *request.add_entries() = made.record;
    return d.wait(d.at(2).rpc->call(d.at(to).id(), {.method = method::cycles_push, .body = request.SerializeAsString(), .payload = {}}));
  };
  EXPECT_TRUE(push(0, 900'000));
  EXPECT_TRUE(push(1, 0));
  d.run_to(12);
  for (std::size_t by : {0, 1, 3}) EXPECT_TRUE(d.ledger(by).barred_until(d.person(2))) << by;
}

TEST(LedgerDesk, WrongEntriesAreNotTaken) {
  Desks d(3);
  d.run_to(20);
  const auto& from = d.at(1).identity;
  const auto size = d.ledger(0).size();
  cycles::ChainHead head;
  const auto push = [&](const PersonId& person, WallMs when, const NetworkId& network) {
    const auto made = cycles::make_entry(from.server_key, network, person, head, cycles::Pledge{1, 0}, when);
    wire::CyclesPushRequest request;
    *request.add_entries() = made.record;
    EXPECT_TRUE(d.wait(d.at(1).rpc->call(d.at(0).id(), {.method = method::cycles_push, .body = request.SerializeAsString(), .payload = {}})));
  };
  const auto now = d.at(1).runtime().wall_ms();
  push(from.person, now - 5 * epoch_seconds * 1000, from.network);
  push(from.person, now + 5 * epoch_seconds * 1000, from.network);
  push(d.person(2), now, from.network);
  push(from.person, now, NetworkId{d.work(1).bytes});
  // What comes before it is nowhere.
  head = {.number = 6, .id = cycles::EntryId{d.work(2).bytes}, .made_ms = 0};
  push(from.person, now, from.network);
  d.world.run_for(10s);
  EXPECT_EQ(d.ledger(0).size(), size);
  head = {};
  push(from.person, now, from.network);
  EXPECT_EQ(d.ledger(0).size(), size + 1);
  for (const auto method : {method::cycles_push, method::cycles_sync, method::cycles_witness, method::cycles_ask, method::cycles_show}) {
    const auto reply = d.wait(d.at(1).rpc->call(d.at(0).id(), {.method = method, .body = "\xff\xff rubbish", .payload = {}}));
    ASSERT_FALSE(reply) << method;
    EXPECT_EQ(reply.error().code, Errc::invalid) << method_name(method) << ": " << reply.error().message;
  }
}

}  // namespace
}  // namespace spatter
