// How a Directory asks other servers: over real connections (directory/rpc_link.h), or whatever a test
// puts in its place.
#pragma once

#include "base/task.h"
#include "directory/messages.h"

namespace spatter {

class DirectoryLink {
 public:
  virtual ~DirectoryLink() = default;
  /// Asks one server and waits for its answer, at most until a deadline of the link's own. Contacts
  /// and records in the answer have been verified; an answer that holds others is Errc::corrupt or
  /// invalid. Errc::unavailable or timeout: it was not reached.
  virtual Task<Result<DirectoryReply>> ask(ContactPtr to, DirectoryRequest request) = 0;
};

}  // namespace spatter
