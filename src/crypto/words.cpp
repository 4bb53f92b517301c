#include "words.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <vector>

#include "crypto/hash.h"

namespace spatter {
namespace {

constexpr std::array<std::string_view, 2048> word_list = {
#include "bip39_english.inc"
};
static_assert(std::ranges::is_sorted(word_list));
static_assert(std::ranges::all_of(word_list, [](auto word) { return word.size() <= 8; }));

constexpr std::size_t words_total = 24;
constexpr std::size_t prefix_letters = 4;

/// The 256 bits and the checksum, the first byte of their SHA-256.
using Bits = std::array<std::uint8_t, Key::size_bytes + 1>;

std::uint8_t checksum_of(const std::uint8_t* entropy) {
  Digest digest = sha256({entropy, Key::size_bytes});
  const std::uint8_t first = digest.bytes[0];
  wipe(digest.bytes);
  return first;
}

constexpr std::size_t typed_letters_max = 16;  // longer ones get no suggestion
constexpr std::size_t list_letters_max = 8;
constexpr std::size_t distance_max = 2;

/// Insertions, deletions, substitutions and swaps of neighbours between two words.
std::size_t distance(std::string_view a, std::string_view b) {
  std::array<std::array<std::size_t, list_letters_max + 1>, typed_letters_max + 1> d;
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

/// A cheap bound: an edit changes the set of letters in a word by two at most.
std::uint32_t letters_of(std::string_view word) {
  std::uint32_t letters = 0;
  for (char c : word) letters |= 1U << (static_cast<unsigned char>(c) & 31U);
  return letters;
}

/// "; did you mean 'able' or 'apple'?", or nothing when no word is near.
std::string suggestion(std::string_view word) {
  if (word.size() < 2 || word.size() > typed_letters_max) return {};
  std::vector<std::pair<std::size_t, std::string_view>> near;
  const std::uint32_t letters = letters_of(word);
  for (std::string_view candidate : word_list) {
    if (std::popcount(letters ^ letters_of(candidate)) > static_cast<int>(2 * distance_max))
      continue;
    if (candidate.size() > word.size() + distance_max ||
        word.size() > candidate.size() + distance_max)
      continue;
    if (std::size_t d = distance(word, candidate); d <= distance_max && d < word.size() - 1)
      near.emplace_back(d, candidate);
  }
  if (near.empty()) return {};
  std::ranges::sort(near);
  std::size_t shown = 1;
  while (shown < 3 && shown < near.size() && near[shown].first == near[0].first) ++shown;
  std::string text = "; did you mean ";
  for (std::size_t i = 0; i < shown; ++i)
    text += fmt::format("{}'{}'", i == 0 ? "" : i + 1 == shown ? " or " : ", ", near[i].second);
  return text + "?";
}

/// What separates words: ASCII white space and punctuation of lists, and the wide or unbreakable
/// spaces and byte-order marks that word processors add. 0 when a word's character is next.
std::size_t separator_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0U;
  };
  if (byte(0) <= 0x20 || std::string_view(",;.:()-").contains(text[0])) return 1;
  if (byte(0) == 0xC2 && byte(1) == 0xA0) return 2;  // no-break space
  if (byte(0) == 0xE2 && byte(1) == 0x80 && byte(2) <= 0xAF && byte(2) >= 0x80) return 3;
  if (byte(0) == 0xE3 && byte(1) == 0x80 && byte(2) == 0x80) return 3;  // ideographic space
  if (byte(0) == 0xEF && byte(1) == 0xBB && byte(2) == 0xBF) return 3;  // byte-order mark
  return 0;
}

}  // namespace

std::string_view word_at(std::size_t place) { return word_list.at(place); }

std::optional<std::size_t> place_of_word(std::string_view word) {
  const auto at = std::ranges::lower_bound(word_list, word);
  if (at == word_list.end()) return std::nullopt;
  const bool same = *at == word;
  const bool cut_short = word.size() >= prefix_letters && at->starts_with(word);
  if (!same && !cut_short) return std::nullopt;
  return static_cast<std::size_t>(at - word_list.begin());
}

std::string_view next_word_token(std::string_view& text) {
  while (!text.empty())
    if (std::size_t skip = separator_bytes(text); skip != 0)
      text.remove_prefix(std::min(skip, text.size()));
    else
      break;
  std::size_t length = 0;
  while (length < text.size() && separator_bytes(text.substr(length)) == 0) ++length;
  std::string_view token = text.substr(0, length);
  text.remove_prefix(length);
  return token;
}

bool is_word_number(std::string_view token) {
  return std::ranges::all_of(token, [](char c) { return c >= '0' && c <= '9'; });
}

std::string readable_word(std::string_view token) {
  std::string word(token.substr(0, 32));
  for (char& c : word) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c < 0x20 || c >= 0x7F) c = '?';
  }
  if (token.size() > 32) word += "...";
  return word;
}

namespace {

/// Places in the list, in order. Wiped with the object: they are the secret.
struct Places {
  std::array<std::uint16_t, words_total> at{};
  std::size_t count = 0;
  ~Places() { wipe({reinterpret_cast<std::uint8_t*>(at.data()), sizeof at}); }
};

Result<void> read_places(std::string_view text, Places& places) {
  if (text.size() > words_text_bytes_max)
    return fail(Errc::invalid, "{} recovery words are needed, this is a text of {} bytes",
                words_total, text.size());
  std::size_t given = 0;
  std::optional<Error> wrong;
  while (true) {
    const std::string_view token = next_word_token(text);
    if (token.empty()) break;
    if (is_word_number(token)) continue;
    ++given;
    std::string word = readable_word(token);
    const auto place = place_of_word(word);
    if (!place && !wrong)
      wrong = Error{Errc::invalid, fmt::format("word {} '{}' is not in the list{}", given, word,
                                               suggestion(word))};
    if (place && places.count < words_total)
      places.at[places.count++] = static_cast<std::uint16_t>(*place);
    wipe(word);
  }
  if (given > words_total || (given < words_total && !wrong))
    return fail(Errc::invalid, "{} recovery words are needed, {} {} given", words_total, given,
                given == 1 ? "was" : "were");
  if (wrong) return fail(std::move(*wrong));
  return {};
}

}  // namespace

std::string words_of(const Key& entropy) {
  Bits bits;
  std::memcpy(bits.data(), entropy.bytes.data(), Key::size_bytes);
  bits.back() = checksum_of(entropy.bytes.data());
  std::string text;
  text.reserve(words_total * 9);  // no word has more than eight letters
  for (std::size_t word = 0; word < words_total; ++word) {
    std::size_t place = 0;
    for (std::size_t bit = word * word_bits; bit < (word + 1) * word_bits; ++bit)
      place = place << 1 | (bits[bit / 8] >> (7 - bit % 8) & 1U);
    if (word != 0) text += ' ';
    text += word_list[place];
  }
  wipe(bits);
  return text;
}

Result<Key> entropy_of(std::string_view words) {
  Places places;
  TRY_VOID(read_places(words, places));
  Bits bits{};
  for (std::size_t word = 0; word < words_total; ++word)
    for (std::size_t i = 0; i < word_bits; ++i) {
      const std::size_t bit = word * word_bits + i;
      const unsigned value = places.at[word] >> (word_bits - 1 - i) & 1U;
      bits[bit / 8] = static_cast<std::uint8_t>(bits[bit / 8] | value << (7 - bit % 8));
    }
  Key entropy;
  std::memcpy(entropy.bytes.data(), bits.data(), Key::size_bytes);
  const bool right = checksum_of(entropy.bytes.data()) == bits.back();
  wipe(bits);
  if (!right)
    return fail(Errc::invalid,
                "the checksum of the recovery words does not match: all {} are in the list, but at "
                "least one is not the right word, or two are swapped",
                words_total);
  return entropy;
}

}  // namespace spatter
