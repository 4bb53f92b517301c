// The public DHT as a program of its own, spatter-rendezvous, spoken to over pipes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "directory/rendezvous.h"
#include "doors/dht_line.h"

namespace spatter::doors {

/// `program` is a path; `nodes` are where it joins. It starts with the first request, and again when
/// it has ended; it ends with this object, or with this process.
std::shared_ptr<PublicDht> make_dht_process(Runtime& runtime, std::string program,
                                            std::vector<Address> nodes);

/// The program that was built or installed beside this one.
std::string dht_program();

}  // namespace spatter::doors
