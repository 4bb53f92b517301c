// Plain Kademlia as its paper has it, without any of the product's defences, under the same attacks:
// for comparison only. Buckets of 20 that keep whoever answers longest, one search with three
// questions at a time that believes the first value it is given, records at the nearest servers
// whosever they are.
#pragma once

#include "directory/record_store.h"
#include "world.h"

namespace spatter::sim::directory {

class PlainPeer : public Peer {
 public:
  PlainPeer(World& world, std::uint32_t index, std::uint64_t seed);

  std::optional<DirectoryReply> answer(std::uint32_t from, const DirectoryRequest& request) override;
  void come(const std::vector<ContactPtr>& first) override;
  void go() override;
  void publish(RecordPtr record, std::function<void()> done) override;
  void look_up(const RecordKey& key, std::function<void(const Found&)> done) override;
  State state() const override;

 protected:
  World& world_;
  std::uint32_t index_;

 private:
  struct Search;
  struct Entry {
    ContactPtr contact;
    TimePoint seen{};
    unsigned failures = 0;
  };
  void seen(const ContactPtr& contact);
  void failed(const ContactPtr& contact);
  std::size_t bucket_of(const Position& position) const;
  std::vector<ContactPtr> nearest(const Position& target, std::size_t count) const;
  void search(const Position& target, std::optional<RecordKey> key, Purpose purpose,
              std::function<void(const Search&)> done);
  void step(const std::shared_ptr<Search>& search);
  void put(const std::vector<ContactPtr>& places, const RecordPtr& record, Purpose purpose);
  void tick();

  SeededRandom random_;
  ContactPtr own_;
  std::vector<std::vector<Entry>> buckets_;
  RecordStore store_;
};

}  // namespace spatter::sim::directory
