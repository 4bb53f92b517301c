// Whatever stands in a keyring file. The closing checksum is made to fit, or nothing behind it
// would ever be reached; the cost of a passphrase is kept small for speed.
#include "crypto/hash.h"
#include "crypto/keyring.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  Bytes bytes(data, data + size);
  static_cast<void>(keyring_is_sealed(bytes));
  static_cast<void>(read_keyring(bytes, std::nullopt));
  if (bytes.size() >= 20 && keyring_is_sealed(bytes)) {
    bytes[12] = 8;  // memory_kib = 8, passes below 256
    for (std::size_t at : {13, 14, 15, 17, 18, 19}) bytes[at] = 0;
  }
  const Digest digest = sha256(bytes);
  bytes.insert(bytes.end(), digest.bytes.begin(), digest.bytes.end());
  const auto keyring = read_keyring(bytes, "passphrase");
  if (keyring && !keyring_is_sealed(bytes)) {
    SeededRandom random(1);
    const Bytes again = write_keyring(*keyring, std::nullopt, random).value();
    // An older format is written as the newest one.
    const bool newest = bytes[8] == again[8];
    SPATTER_ASSERT(newest ? again == bytes : read_keyring(again, std::nullopt)->person == keyring->person);
  }
  return 0;
}
