// Words that people say aloud: the twelve that stand for a person's key, and phrases drawn for a
// moment. A listener compares what he heard with what should have been said, and forgives a little.
//
// What forgiving costs. Twelve words of a list of 2048 are 132 bits of the key's fingerprint. Whoever
// wants another key to pass for this one needs a fingerprint whose words differ from those heard by
// at most two substituted, missing or additional words. Of twelve words that can be said,
// sum over i = 0..2 of C(12, i) * 2047^i = 276,578,359, just above 2^28, are that near (those with a
// word missing and another added are some hundred thousand more), so 2^104 keys must be tried for
// one that passes: about 104 of the 132 bits remain.
//
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"

namespace spatter {

inline constexpr std::size_t spoken_key_words = 12;
inline constexpr std::size_t spoken_wrong_max = 2;

/// The first `count` times 11 bits of `bits`, most significant first, as words of the BIP-39 list.
std::string spoken_words(ByteView bits, std::size_t count);

/// The twelve words of a person's key: of BLAKE2b("spatter/1 spoken key", 0x00, key).
std::string spoken_key(const PersonId& person);

/// How many words must be replaced, added or left out to come from `heard` to `expected` (words of
/// the list, as from the functions above). `heard` is read as recovery words are: any case, numbers
/// and punctuation between; a word that is not in the list is a wrong word, not an error.
/// Errc::invalid when `heard` has no words or more than twice as many as expected.
Result<std::size_t> wrong_words(std::string_view expected, std::string_view heard);

/// Whether that is forgiven: at most two of the twelve.
inline bool is_forgiven(std::size_t wrong) { return wrong <= spoken_wrong_max; }

}  // namespace spatter
