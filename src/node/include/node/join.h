// Joining a network with a drive: what `spatter join` and `spatter recover` do before the server
// starts.
#pragma once

#include "base/runtime.h"
#include "base/transport.h"
#include "directory/invite.h"
#include "node/drive.h"

namespace spatter {

/// Dials the inviter with the drive's keys, and puts the network in. `drive` is prepared, or
/// complete but alone: then it leaves the network of its own, keeping its files. Errc::exists when
/// the drive belongs to a network with others in it. With `recovery`, see adopt_network.
///
/// A person who has changed his key joins with the one that he has now: the inviter says which, and the
/// words that `drive` was prepared with make it. Errc::denied when it was prepared without.
/// `transport` was made for the drive's server key; it is not stopped here.
Task<Result<NetworkId>> join_with_drive(Runtime& runtime, Transport& transport, Drive& drive,
                                        Invite invite,
                                        std::optional<Recovery> recovery = {});

}  // namespace spatter
