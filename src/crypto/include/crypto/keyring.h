// The keyring file of a drive: the person's numbered secrets and the server's key, which together are
// everything that must not be lost or seen. The caller stores the bytes with mode 0600, atomically.
// Optionally sealed with a passphrase (Argon2id, then XChaCha20-Poly1305). docs/PROTOCOL.md has the
// format byte by byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/random.h"
#include "base/time.h"
#include "crypto/person_keys.h"
#include "crypto/sign.h"

namespace spatter {

struct Keyring {
  PersonKeys person;
  SigningKey server_key;
  /// A change of the person's key to the newest of the secrets is under way: made here, and perhaps not
  /// known to anybody else yet.
  bool changing = false;
  /// The person's keys up to this number have been in wrong hands, as was said here: what they say of who
  /// writes a volume of this drive counts no more. 0: none.
  std::uint32_t disowned = 0;
  WallMs created_ms = 0;
  std::string name;  ///< of the server, for people; at most 255 bytes, may be empty
};

/// What trying one passphrase costs whoever guesses, and us. The default takes about 0.2 s and
/// 64 MiB.
struct PassphraseCost {
  std::uint32_t memory_kib = 64 * 1024;
  std::uint32_t passes = 3;
};

/// The bytes to store. An absent passphrase means a plain keyring; an empty one counts as absent.
/// Errc::invalid for a name that is too long, Errc::no_space when Argon2id gets no memory.
Result<Bytes> write_keyring(const Keyring& keyring, std::optional<std::string_view> passphrase,
                            Random& entropy, PassphraseCost cost = {});

/// Whether a passphrase must be asked for before read_keyring; false for bytes that are no keyring.
bool keyring_is_sealed(ByteView bytes);

/// Errors: Errc::denied when a passphrase is needed and none was given, or it is wrong (the message
/// says which); Errc::corrupt when the bytes are damaged; Errc::newer_format; Errc::invalid when
/// they never were a keyring. A passphrase given for a plain keyring is ignored. Takes 0.2 s or so
/// and 64 MiB when sealed: not on the executor.
Result<Keyring> read_keyring(ByteView bytes, std::optional<std::string_view> passphrase);

}  // namespace spatter
