#include "secure_peer.h"

namespace spatter::sim::directory {

using namespace std::chrono_literals;

struct SecurePeer::Run {
  Lookup lookup;
  Position target;
  std::optional<RecordKey> key;
  Purpose purpose;
  std::function<void(const Lookup&)> done;
  TimePoint woken{};
};

SecurePeer::SecurePeer(World& world, std::uint32_t index, std::uint64_t seed)
    : world_(world), index_(index), random_(seed),
      core_(world.server(index).contact, random_, {}) {}

std::optional<DirectoryReply> SecurePeer::answer(std::uint32_t from,
                                                 const DirectoryRequest& request) {
  if (request.kind == DirectoryRequest::Kind::put) {
    const Contact& caller = *world_.server(from).contact;
    if (!core_.allow_put(caller.id, caller.person, request.records.size(), world_.now()))
      return DirectoryReply{};
  }
  return core_.answer(request, world_.now(), world_.wall());
}

void SecurePeer::come(const std::vector<ContactPtr>& first) {
  for (const ContactPtr& contact : first) core_.table().heard(contact, world_.now());
  // Who comes back, or comes for the first time, looks round at once.
  checks_at_once_ = 96;
  look_round(first, DirectoryCore::Look::arriving, [] {});
  world_.after_of(index_, 2s + std::chrono::milliseconds(random_.below(2000)), [this] { tick(); });
}

void SecurePeer::go() {
  core_.store() = RecordStore(core_.own()->position);
  arrived_ = false;
  waiting_.clear();
}

void SecurePeer::tick() {
  send(core_.republish(world_.now(), world_.wall()), Purpose::republish);
  auto check = core_.next_check(world_.now());
  if (!looking_round_ && !arrived_ && (!check || checks_at_once_ == 0)) {
    look_round({}, DirectoryCore::Look::arriving, [this] {
      arrived_ = true;
      for (const auto& what : std::exchange(waiting_, {})) what();
    });
  } else if (!looking_round_ && world_.now() >= next_look_) {
    look_round({}, DirectoryCore::Look::again, [] {});
  }
  Duration next = 30s;
  if (check) {
    next = 5s;
    if (checks_at_once_ > 0) {
      --checks_at_once_;
      next = 250ms;
    }
    auto ask = std::make_shared<DirectoryCore::Ask>(std::move(*check));
    world_.ask(index_, ask->to, ask->request, Purpose::upkeep, [this, ask](const DirectoryReply* reply) {
      core_.check_ended(*ask, reply, world_.now());
    });
  } else {
    checks_at_once_ /= 2;
  }
  next += std::chrono::milliseconds(random_.below(static_cast<std::uint64_t>(next / 4ms)));
  world_.after_of(index_, next, [this] { tick(); });
}

void SecurePeer::send(const std::vector<DirectoryCore::Ask>& asks, Purpose purpose) {
  for (const auto& each : asks) {
    auto ask = std::make_shared<DirectoryCore::Ask>(each);
    world_.ask(index_, ask->to, ask->request, purpose, [this, ask](const DirectoryReply* reply) {
      core_.put_ended(*ask, reply != nullptr, world_.now());
    });
  }
}

void SecurePeer::run(std::shared_ptr<Run> run) {
  Lookup& lookup = run->lookup;
  for (auto& query : lookup.next(world_.now())) {
    world_.ask(index_, query.to, core_.request_for(query, run->target, run->key, run->purpose == Purpose::upkeep),
               run->purpose,
               [this, run, number = query.number](const DirectoryReply* reply) {
                 if (run->lookup.done()) return;
                 if (reply) run->lookup.answered(number, *reply, world_.now());
                 else run->lookup.failed(number);
                 this->run(run);
               });
  }
  if (lookup.done()) {
    core_.learn(lookup, world_.now());
    run->done(lookup);
    return;
  }
  if (const auto wake = lookup.wake_at(world_.now()); wake && *wake != run->woken) {
    run->woken = *wake;
    world_.after_of(index_, *wake - world_.now(), [this, run] {
      if (!run->lookup.done()) this->run(run);
    });
  }
}

void SecurePeer::look_round(const std::vector<ContactPtr>& first, DirectoryCore::Look look,
                            std::function<void()> done) {
  looking_round_ = true;
  run(std::make_shared<Run>(Run{core_.look_round(first, look), core_.own()->position, std::nullopt,
                                Purpose::upkeep, [this, done = std::move(done)](const Lookup&) {
                                  looking_round_ = false;
                                  next_look_ = world_.now() + core_.look_round_every();
                                  done();
                                }}));
}

void SecurePeer::look_for(const Position& position, std::function<void(std::vector<ContactPtr>)> done) {
  when_arrived([this, position, done = std::move(done)] {
    run(std::make_shared<Run>(Run{core_.find_servers(position), position, std::nullopt, Purpose::upkeep,
                                  [this, position, done](const Lookup& lookup) {
                                    done(core_.found_for(lookup, position));
                                  }}));
  });
}

void SecurePeer::when_arrived(std::function<void()> what) {
  if (arrived_) what();
  else waiting_.push_back(std::move(what));
}

void SecurePeer::publish(RecordPtr record, std::function<void()> done) {
  const auto send_out = [this, record, done = std::move(done)](const DirectoryCore::Publication& publication) {
    if (publication.self)
      (void)core_.store().put(record, world_.now(), world_.wall(), random_.next_u64());
    send(publication.asks, Purpose::lookup);
    done();
  };
  when_arrived([this, record, send_out] {
    if (const auto at_once = core_.publication_at_once(record)) return send_out(*at_once);
    run(std::make_shared<Run>(Run{core_.find_servers(record->position), record->position, std::nullopt,
                                  Purpose::lookup, [this, record, send_out](const Lookup& lookup) {
                                    send_out(core_.publication(lookup, record));
                                  }}));
  });
}

void SecurePeer::look_up(const RecordKey& key, std::function<void(const Found&)> done) {
  when_arrived([this, key, done = std::move(done)] {
    run(std::make_shared<Run>(
        Run{core_.find_record(key), record_position(key), key, Purpose::lookup,
            [this, done](const Lookup& lookup) {
              send(core_.mending(lookup), Purpose::lookup);
              done({lookup.record(), lookup.hops(), lookup.queries(), lookup.rounds(),
                    lookup.places()});
            }}));
  });
}

Peer::State SecurePeer::state() const {
  State state;
  const auto contacts = core_.table().contacts();
  state.contacts = contacts.size();
  for (const ContactPtr& contact : contacts) {
    const ServerState& there = world_.server(world_.index_of(contact->id));
    state.hostile_contacts += there.hostile;
    state.gone_contacts += !there.online;
  }
  state.network_size = core_.table().network_size();
  state.check_minutes = std::chrono::duration<double>(core_.table().check_interval()).count() / 60;
  state.records = core_.store().records();
  state.memory_bytes = static_cast<double>(core_.table().memory_bytes() + core_.store().bytes() +
                                           core_.table().size() * core_.own()->memory_bytes());
  return state;
}

}  // namespace spatter::sim::directory
