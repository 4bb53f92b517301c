#include "crypto/spoken.h"

#include <algorithm>
#include <vector>

#include "crypto/hash.h"
#include "words.h"

namespace spatter {
namespace {

constexpr std::size_t not_in_list = 2048;

/// Places in the list, `not_in_list` for what is not there.
std::vector<std::size_t> places_in(std::string_view text, std::size_t count_max) {
  std::vector<std::size_t> places;
  while (places.size() <= count_max) {
    const auto token = next_word_token(text);
    if (token.empty()) break;
    if (is_word_number(token)) continue;
    places.push_back(place_of_word(readable_word(token)).value_or(not_in_list));
  }
  return places;
}

}  // namespace

std::string spoken_words(ByteView bits, std::size_t count) {
  SPATTER_ASSERT(bits.size() * 8 >= count * word_bits);
  std::string text;
  for (std::size_t word = 0; word < count; ++word) {
    std::size_t place = 0;
    for (std::size_t bit = word * word_bits; bit < (word + 1) * word_bits; ++bit)
      place = place << 1 | (bits[bit / 8] >> (7 - bit % 8) & 1U);
    if (word != 0) text += ' ';
    text += word_at(place);
  }
  return text;
}

std::string spoken_key(const PersonId& person) {
  static constexpr std::string_view tag("spatter/1 spoken key\0", 21);
  return spoken_words(blake2b({}, {as_bytes(tag), person.view()}).bytes, spoken_key_words);
}

Result<std::size_t> wrong_words(std::string_view expected, std::string_view heard) {
  if (heard.size() > words_text_bytes_max)
    return fail(Errc::invalid, "a text of {} bytes is no list of words", heard.size());
  const auto wanted = places_in(expected, 64);
  const auto said = places_in(heard, 2 * wanted.size());
  if (said.empty()) return fail(Errc::invalid, "no words were given");
  if (said.size() > 2 * wanted.size())
    return fail(Errc::invalid, "{} words are expected, more than {} were given", wanted.size(),
                2 * wanted.size());
  // Levenshtein's distance over words, one row at a time.
  std::vector<std::size_t> row(said.size() + 1);
  for (std::size_t j = 0; j <= said.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= wanted.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= said.size(); ++j) {
      const auto replaced = diagonal + (wanted[i - 1] != said[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace spatter
