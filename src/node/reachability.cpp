#include "reachability.h"

#include <asio/experimental/awaitable_operators.hpp>

#include "crypto/hash.h"
#include "net/methods.h"
#include "wire/proto/relay.pb.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t answers_wanted = 3;
constexpr std::size_t relays_wanted = 3;
constexpr Duration yes_good_for = 30min;
constexpr Duration no_good_for = 3min;
constexpr Duration settle_first = 1s;          // what comes together is looked at together
constexpr Duration look_every = 30s;
constexpr Duration look_again = 2s;            // when somebody could not answer yet
constexpr Duration dial_timeout = 3s;          // of the one who is asked
constexpr Duration ask_timeout = 10s;
constexpr Duration probe_interval_min = 1s;    // for one asker
constexpr std::size_t probes_max = 8;          // being dialled for others

bool fresh(const ReachAnswer& answer, TimePoint now) {
  return now - answer.at < (answer.reached ? yes_good_for : no_good_for);
}

}  // namespace

Reach choose_reach(const std::map<ServerId, ReachAnswer>& answers, const std::vector<Member>& others,
                   const std::function<bool(const Member&)>& could_relay,
                   const PersonId& own_person, const Reach& before, bool may_carry, ByteView draw) {
  if (answers.empty()) return before;
  const bool all_reach =
      std::ranges::all_of(answers, [](const auto& entry) { return entry.second.reached; });
  if (all_reach) return {.relays = {}, .carries = may_carry};
  struct Candidate {
    bool kept = false;
    bool own = false;
    Digest place;
    ServerId id;
  };
  std::vector<Candidate> candidates;
  for (const Member& member : others) {
    if (!member.up || !member.carries || !could_relay(member)) continue;
    candidates.push_back({std::ranges::find(before.relays, member.id) != before.relays.end(),
                          member.person == own_person, blake2b(draw, member.id.view()), member.id});
  }
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) {
    return std::tuple(!a.kept, !a.own, a.place) < std::tuple(!b.kept, !b.own, b.place);
  });
  Reach reach;
  for (const Candidate& candidate : candidates)
    if (reach.relays.size() < relays_wanted) reach.relays.push_back(candidate.id);
  // None is there: those that were may come back, and the others know them by our record.
  if (reach.relays.empty()) reach.relays = before.relays;
  std::ranges::sort(reach.relays);
  return reach;
}

Reachability::Reachability(Parts parts)
    : parts_(std::move(parts)),
      wanted_(parts_.runtime.executor()),
      tasks_(parts_.runtime.executor()) {}

void Reachability::start() {
  parts_.rpc.serve(method::reach_probe, [this](Caller caller, RpcRequest request) {
    return handle_probe(std::move(caller), std::move(request));
  });
  subscription_ = parts_.members.subscribe([this] { wanted_.set(); });
  tasks_.spawn(loop());
}

Task<void> Reachability::stop() {
  if (subscription_) parts_.members.unsubscribe(std::exchange(subscription_, 0));
  co_await tasks_.stop();
}

std::string_view Reachability::state() const {
  if (answers_.empty()) return "unknown";
  const bool all = std::ranges::all_of(answers_, [](const auto& one) { return one.second.reached; });
  return all ? "direct" : "relayed";
}

Task<void> Reachability::loop() {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    co_await (wanted_.wait() || parts_.runtime.sleep(again_ ? look_again : look_every));
    again_ = false;
    co_await parts_.runtime.sleep(settle_first);
    wanted_.reset();
    const auto* own = parts_.members.roster().find(parts_.members.own().id);
    if (!own) continue;
    if (own->member.addresses != asked_about_) {
      answers_.clear();
      asked_about_ = own->member.addresses;
    }
    const TimePoint now = parts_.runtime.now();
    std::erase_if(answers_, [&](const auto& entry) {
      return !fresh(entry.second, now) || !parts_.members.find(entry.first);
    });
    for (const ServerId& id : whom_to_ask()) co_await ask(id);
    decide();
  }
}

std::vector<ServerId> Reachability::whom_to_ask() const {
  const std::size_t wanted = answers_wanted - std::min(answers_wanted, answers_.size());
  if (wanted == 0) return {};
  std::vector<Member> candidates;
  for (Member& member : parts_.members.others())
    if (member.up && !answers_.contains(member.id)) candidates.push_back(std::move(member));
  for (std::size_t i = 0; i + 1 < candidates.size(); ++i)
    std::swap(candidates[i],
              candidates[i + parts_.runtime.chance().below(candidates.size() - i)]);
  // Guests are asked only where others are too few.
  std::vector<ServerId> asked;
  for (const bool trusted : {true, false})
    for (const Member& member : candidates)
      if (asked.size() < wanted && parts_.members.is_trusted(member.person) == trusted)
        asked.push_back(member.id);
  return asked;
}

Task<void> Reachability::ask(ServerId id) {
  const auto* own = parts_.members.roster().find(parts_.members.own().id);
  if (!own) co_return;
  wire::ReachProbeRequest request;
  request.set_version(own->version);
  const auto addresses = own->member.addresses;
  auto answer = co_await parts_.rpc.call(
      id, {method::reach_probe, request.SerializeAsString(), {}}, {.timeout = ask_timeout});
  wire::ReachProbeReply reply;
  if (!answer || !reply.ParseFromString(answer->body)) {
    // Our record may still be on its way there.
    again_ = true;
    if (!answer) parts_.runtime.log().debug("reach.probe of {}: {}", id, answer.error().message);
    co_return;
  }
  if (addresses != asked_about_) co_return;
  answers_[id] = {reply.reached_size() > 0, parts_.runtime.now()};
}

void Reachability::decide() {
  const auto could_relay = [this](const Member& member) {
    const PeerMeasure measure = parts_.rpc.measure(member.id);
    return measure.up && !measure.relayed && parts_.members.is_trusted(member.person);
  };
  const Member own = parts_.members.own();
  const bool may_carry = parts_.may_carry && parts_.members.is_trusted(own.person);
  Reach next = choose_reach(answers_, parts_.members.others(), could_relay, own.person, reach_,
                            may_carry, own.id.view());
  if (next == reach_) return;
  if (next.relays != reach_.relays) {
    if (next.relays.empty())
      parts_.runtime.log().info("others can dial this server: no relay is needed");
    else
      parts_.runtime.log().info("others cannot dial this server: members that relay to it: {}",
                                next.relays.size());
  }
  reach_ = std::move(next);
  parts_.members.publish_reach(reach_);
}

// ---- for others

Task<Result<RpcReply>> Reachability::handle_probe(Caller caller, RpcRequest request) {
  wire::ReachProbeRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "reach.probe: a request that cannot be read");
  const auto* record = parts_.members.roster().find(caller.server);
  if (!record) co_return fail(Errc::denied, "server {} is not known here as a member", caller.server);
  if (record->version < message.version())
    co_return fail(Errc::unavailable, "the record of server {} has not come here yet", caller.server);
  const TimePoint now = parts_.runtime.now();
  std::erase_if(probed_, [&](const auto& entry) { return now - entry.second >= probe_interval_min; });
  if (probing_ >= probes_max || !probed_.emplace(caller.server, now).second)
    co_return fail(Errc::busy, "too many servers ask to be dialled");
  struct Count {
    std::size_t& probing;
    ~Count() { --probing; }
  } count{++probing_};

  // Only what the caller's own signed record says is dialled, as everybody does anyway. All at a
  // time, and hung up on at once.
  struct Probe {
    explicit Probe(asio::any_io_executor executor) : changed(std::move(executor)) {}
    WaitQueue changed;
    std::size_t running = 0;
    std::vector<Address> reached;
  };
  auto probe = std::make_shared<Probe>(parts_.runtime.executor());
  const auto dial = [](Transport& transport, std::shared_ptr<Probe> probe, Address address,
                       ServerId id, TimePoint deadline) -> Task<void> {
    auto connection = co_await transport.connect(address, id, deadline);
    if (connection) {
      probe->reached.push_back(std::move(address));
      (*connection)->close();
    }
    --probe->running;
    probe->changed.wake_all();
  };
  const auto addresses = record->member.addresses;
  for (const Address& address : addresses) {
    ++probe->running;
    tasks_.spawn(dial(parts_.transport, probe, address, caller.server, now + dial_timeout));
  }
  while (probe->running > 0 && !tasks_.stopping()) co_await probe->changed.wait();
  wire::ReachProbeReply reply;
  reply.set_tried(static_cast<std::uint32_t>(addresses.size()));
  for (const Address& address : probe->reached) reply.add_reached(address.text());
  co_return RpcReply{reply.SerializeAsString(), {}};
}

}  // namespace spatter
