#include "loss_notice.h"

#include "net/methods.h"
#include "proto/holder.pb.h"

namespace spatter {
namespace {

/// Losses found one after another are told together.
constexpr auto together = std::chrono::seconds(1);

}  // namespace

LossNotice::LossNotice(Parts parts)
    : parts_(std::move(parts)), wanted_(parts_.runtime.executor()),
      tasks_(parts_.runtime.executor()) {}

void LossNotice::start() {
  subscription_ = parts_.members.subscribe([this] { wanted_.set(); });
  parts_.shards.on_lost([this] {
    ++losses_;
    wanted_.set();
  });
  wanted_.set();
  tasks_.spawn(run());
}

Task<void> LossNotice::stop() {
  if (subscription_) parts_.members.unsubscribe(std::exchange(subscription_, 0));
  parts_.shards.on_lost({});
  co_await tasks_.stop();
}

Task<void> LossNotice::run() {
  for (;;) {
    co_await wanted_.wait();
    co_await parts_.runtime.sleep(together);
    wanted_.reset();
    if (parts_.shards.usage().lost > 0) co_await tell();
  }
}

Task<std::set<PersonId>> LossNotice::tell() {
  std::set<PersonId> told;
  const auto lost = co_await parts_.shards.lost_of_persons();
  if (!lost) {
    parts_.runtime.log().warning("lost shards: {}", lost.error().message);
    co_return told;
  }
  if (const auto self = parts_.members.own().person; lost->contains(self)) {
    parts_.tell_self();
    told.insert(self);
  }
  for (const auto& member : parts_.members.connected()) {
    const auto at = lost->find(member.person);
    if (at == lost->end()) continue;
    if (const auto before = told_.find(member.id);
        before != told_.end() && before->second == losses_) {
      told.insert(member.person);
      continue;
    }
    const auto losses = losses_;
    wire::ShardLostRequest request;
    request.set_shards(at->second);
    const auto reply = co_await parts_.rpc.call(
        member.id, {.method = method::shard_lost, .body = request.SerializeAsString()});
    if (reply) {
      told_[member.id] = losses;
      told.insert(member.person);
    } else {
      parts_.runtime.log().debug("server {} could not be told of {} lost shards: {}", member.id,
                                 at->second, reply.error().message);
    }
  }
  co_return told;
}

}  // namespace spatter
