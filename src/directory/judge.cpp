#include "directory/judge.h"

#include "crypto/hash.h"
#include "directory/roster.h"
#include "trust/signed.h"

namespace spatter {

ContactJudge::ContactJudge(Rules rules, std::size_t remembered)
    : rules_(std::move(rules)), remembered_max_(remembered) {}

Result<ContactPtr> ContactJudge::judge(ByteView record) {
  if (record.size() > Roster::server_record_bytes_max)
    return fail(Errc::invalid, "a server record of {} bytes: at most {} are allowed", record.size(),
                Roster::server_record_bytes_max);
  const Digest hash = sha256(record);
  if (const auto at = remembered_.find(hash); at != remembered_.end()) {
    order_.splice(order_.begin(), order_, at->second);
    return at->second->contact;
  }
  wire::Signed outer;
  if (!outer.ParseFromArray(record.data(), static_cast<int>(record.size())))
    return fail(Errc::invalid, "a server record that cannot be read");
  auto checked = check_server_record(outer, rules_.network);
  if (!checked) {
    Error error = std::move(checked).error();
    if (error.code == Errc::denied) error.code = Errc::corrupt;  // not our view: the record's own fault
    return fail(std::move(error));
  }
  Roster::Entry& entry = *checked;
  const Member& member = entry.member;
  if (!rules_.may_enter(member.id, member.person))
    return fail(Errc::denied, "server {} of person {} may not be in the directory: he is not trusted here, or "
                "has retired it", member.id, member.person);
  const bool by_his_key = rules_.signs_for ? rules_.signs_for(entry.certified_by, member.person)
                                           : entry.certified_by == member.person;
  if (!by_his_key)
    return fail(Errc::denied, "server {} has a certificate by key {}, which is not that of person {} now",
                member.id, entry.certified_by, member.person);
  const auto shown = place_in(outer.body());
  if (!shown) return fail(Errc::invalid, "server {} shows no draws of a place in the directory", member.id);
  TRY(const PlaceFacts place, check_place_draw(rules_.network, member.id, member.person, *shown));
  if (auto may = rules_.may_have(place, member.person); !may)
    return fail(std::move(may).error().during(fmt::format("server {}", member.id)));
  auto contact = std::make_shared<Contact>();
  contact->id = member.id;
  contact->person = member.person;
  contact->position = server_position(member.key, place.draw);
  contact->place_number = place.number;
  if (!member.addresses.empty()) contact->prefix = NetworkPrefix::of(member.addresses.front());
  contact->version = entry.version;
  contact->addresses = member.addresses;
  contact->addresses.shrink_to_fit();
  contact->record = to_string(record);
  order_.push_front({hash, contact});
  remembered_[hash] = order_.begin();
  if (order_.size() > remembered_max_) {
    remembered_.erase(order_.back().hash);
    order_.pop_back();
  }
  return contact;
}

void ContactJudge::forget_all() {
  remembered_.clear();
  order_.clear();
}

}  // namespace spatter
