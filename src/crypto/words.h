// 32 bytes <-> 24 words of the BIP-39 English list.
#pragma once

#include <string>
#include <string_view>

#include "crypto/key.h"

namespace spatter {

std::string words_of(const Key& entropy);
Result<Key> entropy_of(std::string_view words);  ///< see PersonSecret::from_words

}  // namespace spatter
