// Directory messages as they travel (src/wire/proto/directory.proto), and back. Whatever comes from a
// peer is bounded before it is looked at, and contacts and records in it are judged before anybody
// sees them. Pure but for the judge's memory.
#pragma once

#include <string>

#include "directory/judge.h"
#include "directory/messages.h"

namespace spatter {

/// The method number and the body of a request.
struct WireRequest {
  std::uint16_t method = 0;
  std::string body;
};
WireRequest to_wire(const DirectoryRequest& request);
/// The body of an answer to a request of this method.
std::string to_wire(std::uint16_t method, const DirectoryReply& reply);

/// A request before what it brings has been judged, so that a caller who sends too much is turned away
/// before anything is verified.
struct ForeignRequest {
  DirectoryRequest request;  ///< without `from` and `records`
  std::string from;          ///< may be empty
  std::vector<std::pair<RecordKey, std::string>> values;
};
/// Errc::invalid: cannot be read, or out of bounds.
Result<ForeignRequest> read_request(std::uint16_t method, std::string_view body);

/// The answer to `request`. Contacts that are refused make the whole answer Errc::corrupt or invalid,
/// for an honest server hands out none such.
Result<DirectoryReply> read_reply(const DirectoryRequest& request, std::string_view body,
                                  ContactJudge& judge, const RecordValidators& validators);

}  // namespace spatter
