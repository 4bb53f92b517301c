// What the control socket is asked about trust: {"op": "trust", "what": ...}. One line a question below.
#pragma once

#include <vector>

#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

/// `files`: descriptors that came with the request; announce reads its clip from one, watch writes to one.
///
///   standing                     the own standing, and everybody's
///   phrase                       what must be said into the camera now
///   announce   + a file          checks the clip in a sandbox, seals and announces it
///   reviews                      clips that the person is asked to judge
///   watch      id + a file       checks the clip in a sandbox and writes it out
///   judge      id verdict reason
///   vouch      person
///   renew                        begins what is due, or says what is under way
///   words      words
///   countersign id
///   doubt      person reason
Task<Result<Json>> answer_trust(Runtime& runtime, Server& server, const Json& request,
                                const std::vector<int>& files);

}  // namespace spatter::doors
