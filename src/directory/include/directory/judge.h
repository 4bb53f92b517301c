// Decides whether a signed server record that somebody shows makes a contact: the server's own
// signature, its person's certificate for this network, a person who is admitted, and a place in the
// key space that was really drawn for it. Who is admitted, and who may draw for whom, is for others
// to know and comes in as functions.
//
// Signatures cost; so what was judged lately is remembered by its hash. All calls on the executor.
#pragma once

#include <functional>
#include <list>
#include <unordered_map>

#include "directory/contact.h"
#include "wire/proto/records.pb.h"

namespace spatter {

class ContactJudge {
 public:
  struct Rules {
    NetworkId network;
    /// Whether a person's servers may be in the directory.
    std::function<bool(const PersonId&)> is_trusted;
    /// Whether `drawer` was one to draw a place for a server of `person`, in that epoch.
    std::function<bool(const PersonId& drawer, const PersonId& person, std::uint64_t epoch)> may_draw;
  };
  explicit ContactJudge(Rules rules, std::size_t remembered = 4096);

  /// `record`: a serialized Signed of kind "server". Errors name what is wrong with it.
  Result<ContactPtr> judge(ByteView record);

  void forget(const PersonId& person);  ///< who is no longer trusted

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
