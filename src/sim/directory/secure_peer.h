// An honest server: the product's DirectoryCore, driven by the World's clock.
#pragma once

#include "directory/core.h"
#include "world.h"

namespace spatter::sim::directory {

class SecurePeer : public Peer {
 public:
  SecurePeer(World& world, std::uint32_t index, std::uint64_t seed);

  std::optional<DirectoryReply> answer(std::uint32_t from, const DirectoryRequest& request) override;
  void come(const std::vector<ContactPtr>& first) override;
  void go() override;
  void look_for(const Position& position, std::function<void(std::vector<ContactPtr>)> done) override;
  void publish(RecordPtr record, std::function<void()> done) override;
  void look_up(const RecordKey& key, std::function<void(const Found&)> done) override;
  State state() const override;

 protected:
  World& world_;
  std::uint32_t index_;

 private:
  struct Run;
  void run(std::shared_ptr<Run> run);
  void tick();
  void look_round(const std::vector<ContactPtr>& first, DirectoryCore::Look look, std::function<void()> done);
  void when_arrived(std::function<void()> what);
  void send(const std::vector<DirectoryCore::Ask>& asks, Purpose purpose);

  SeededRandom random_;
  DirectoryCore core_;
  unsigned checks_at_once_ = 0;
  bool looking_round_ = false, arrived_ = false;
  TimePoint next_look_{};
  std::vector<std::function<void()>> waiting_;  // until it has arrived
};

}  // namespace spatter::sim::directory
