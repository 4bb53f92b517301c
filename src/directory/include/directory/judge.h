// Decides whether a signed server record that somebody shows makes a contact: the server's own
// signature, its person's certificate for this network, a person who is admitted, and a place in the
// key space that was really drawn for it. Who is admitted, and who may draw for whom, is for others
// to know and comes in as functions; what they say may differ between servers (Errc::denied), while a
// record that does not prove itself is one everywhere (any other error).
//
// Signatures cost; so what was judged lately is remembered by its hash. All calls on the executor.
#pragma once

#include <functional>
#include <list>
#include <unordered_map>

#include "directory/contact.h"
#include "directory/place_draw.h"
#include "wire/proto/records.pb.h"

namespace spatter {

class ContactJudge {
 public:
  struct Rules {
    NetworkId network;
    /// Whether a server of this person may be in the directory.
    std::function<bool(const ServerId&, const PersonId&)> may_enter;
    /// Whether a person's server may have that place, by its number and by who drew it; Errc::denied if not.
    std::function<Result<void>(const PlaceFacts&, const PersonId& owner)> may_have;
    /// Whether a key signs for a person now. Unset: his first one does.
    std::function<bool(const PersonId& key, const PersonId& person)> signs_for = {};
  };
  explicit ContactJudge(Rules rules, std::size_t remembered = 4096);

  /// `record`: a serialized Signed of kind "server". Errors name what is wrong with it.
  Result<ContactPtr> judge(ByteView record);

  /// What was judged is judged anew when it is shown again: the rules say something else now.
  void forget_all();

 private:
  struct Remembered {
    Digest hash;
    ContactPtr contact;
  };
  Rules rules_;
  std::size_t remembered_max_;
  std::list<Remembered> order_;  ///< used last first
  std::unordered_map<Digest, std::list<Remembered>::iterator> remembered_;
};

}  // namespace spatter
