// Servers that work against the directory, together: each knows every other one, and what any of them
// was ever given. They look after their places in others' tables as honest servers do, and answer
// whatever looks like a check; then they
//   drop:     leave questions of look-ups unanswered,
//   lie:      know no record, and send askers to servers that are gone, and to one another,
//   collude:  name one another only, the nearest to the target that there are, and give the oldest
//             version of a record that they were ever given.
// None of them stores anything; all say that they do.
#pragma once

#include "secure_peer.h"

namespace spatter::sim::directory {

enum class Attack { mix, drop, lie, collude, eclipse };

/// What the hostile servers share.
class Colluders {
 public:
  void add(const ContactPtr& contact) { members_.push_back(contact); }
  void add_bystander(const ContactPtr& contact) { bystanders_.push_back(contact); }
  void prepare();
  /// The nearest of them to a point, but those that are known.
  std::vector<ContactPtr> nearest(const Position& target, std::size_t count,
                                  const std::vector<std::uint64_t>& known) const;
  /// Honest servers near a point that are gone, or else hostile ones.
  std::vector<ContactPtr> misleading(World& world, const Position& target, std::size_t count) const;
  void given(const RecordPtr& record);
  RecordPtr oldest(const RecordKey& key) const;

 private:
  static std::vector<ContactPtr> nearest_of(const std::vector<ContactPtr>& sorted,
                                            const Position& target, std::size_t count);
  std::vector<ContactPtr> members_, bystanders_;  ///< sorted by position once prepared
  std::unordered_map<RecordKey, RecordPtr> oldest_;
};

/// What a hostile server says; apart from its upkeep, which depends on the directory it works in.
std::optional<DirectoryReply> hostile_answer(World& world, Colluders& colluders, Attack attack,
                                             const DirectoryRequest& request);

/// A hostile server that keeps itself known as `Honest` servers do.
template <class Honest>
class HostilePeer final : public Honest {
 public:
  HostilePeer(World& world, std::uint32_t index, std::uint64_t seed, Colluders& colluders,
              Attack attack)
      : Honest(world, index, seed), colluders_(colluders), attack_(attack) {}

  std::optional<DirectoryReply> answer(std::uint32_t from, const DirectoryRequest& request) override {
    if (request.from) (void)Honest::answer(from, request);
    return hostile_answer(this->world_, colluders_, attack_, request);
  }

 private:
  Colluders& colluders_;
  Attack attack_;
};

}  // namespace spatter::sim::directory
