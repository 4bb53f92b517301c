// 32 bytes <-> 24 words of the BIP-39 English list; and the list and the reading of words as people
// write them, for whatever else in this room speaks in words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "crypto/key.h"

namespace spatter {

inline constexpr std::size_t word_bits = 11;  ///< the list has 2^11 words
inline constexpr std::size_t words_text_bytes_max = 64 * 1024;

std::string words_of(const Key& entropy);
Result<Key> entropy_of(std::string_view words);  ///< see PersonSecret::from_words

std::string_view word_at(std::size_t place);  ///< `place` below 2048
/// Lower case; cut to four letters or more is enough.
std::optional<std::size_t> place_of_word(std::string_view word);
/// Takes the next word off the front of `text`; empty when none is left.
std::string_view next_word_token(std::string_view& text);
bool is_word_number(std::string_view token);  ///< the "3" of "3. apple"
/// Letters in lower case; what a terminal should not be sent becomes '?'.
std::string readable_word(std::string_view token);

}  // namespace spatter
