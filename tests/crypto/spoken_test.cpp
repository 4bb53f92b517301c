// Twelve words said aloud: what they are, what is forgiven, and that the sum in the header is right.
#include "crypto/spoken.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "base/random.h"
#include "crypto/hash.h"

namespace spatter {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == ' ') words.emplace_back();
    else words.back() += c;
  }
  return words;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

PersonId some_person(std::uint64_t seed) {
  SeededRandom random(seed);
  return random.id<PersonId>();
}

TEST(Spoken, KnownAnswers) {
  Bytes zeros(17, 0), ones(17, 0xff);
  EXPECT_EQ(spoken_words(zeros, 3), "abandon abandon abandon");
  EXPECT_EQ(spoken_words(ones, 12), "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo");
  const Bytes one_two{0x00, 0x20, 0x08};  // 1, 2: eleven bits each
  EXPECT_EQ(spoken_words(one_two, 2), "ability able");
  PersonId person;
  person.bytes.fill(0x5a);
  // Made by an independent implementation (Python: hashlib).
  EXPECT_EQ(spoken_key(person), "segment comic thought ill woman addict race napkin retreat only surface "
                                "rebuild");
}

TEST(Spoken, AnyTwoWordsMayBeWrongButNotThree) {
  const auto words = split(spoken_key(some_person(1)));
  ASSERT_EQ(words.size(), 12u);
  for (std::size_t a = 0; a < 12; ++a) {
    for (std::size_t b = a + 1; b < 12; ++b) {
      auto heard = words;
      heard[a] = "xylophone";  // in no list of ours
      heard[b] = words[b] == "zoo" ? "able" : "zoo";
      EXPECT_EQ(wrong_words(join(words), join(heard)).value(), 2u);
      auto missing = words;
      missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(b));
      missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(a));
      EXPECT_TRUE(is_forgiven(wrong_words(join(words), join(missing)).value()));
      heard[(b + 1) % 12 == a ? (b + 2) % 12 : (b + 1) % 12] = "nothing";
      EXPECT_FALSE(is_forgiven(wrong_words(join(words), join(heard)).value()));
    }
  }
}

TEST(Spoken, ReadsWordsAsPeopleWriteThem) {
  EXPECT_EQ(wrong_words("abandon ability able", "1. Abandon,\n2. ABIL; 3) able").value(), 0u);
  EXPECT_EQ(wrong_words("abandon ability able", "abandon able ability").value(), 2u);
  EXPECT_EQ(wrong_words("abandon ability able", "abandon ability able able").value(), 1u);
}

TEST(Spoken, NothingAndFarTooMuchAreErrors) {
  EXPECT_EQ(wrong_words("abandon ability", " , ").error().code, Errc::invalid);
  EXPECT_EQ(wrong_words("abandon ability", "able able able able able").error().code, Errc::invalid);
  EXPECT_EQ(wrong_words("abandon", std::string(100'000, 'x')).error().code, Errc::invalid);
}

RC_GTEST_PROP(Spoken, AnotherKeyIsNotForgiven, (std::uint64_t a, std::uint64_t b)) {
  RC_PRE(a != b);
  const auto wrong = wrong_words(spoken_key(some_person(a)), spoken_key(some_person(b))).value();
  RC_ASSERT(!is_forgiven(wrong));
}

TEST(Spoken, OneHundredAndFourBitsRemain) {
  const double near = 1 + 12 * 2047.0 + 66 * 2047.0 * 2047.0;
  EXPECT_EQ(near, 276'578'359.0);
  EXPECT_NEAR(132 - std::log2(near), 103.96, 0.01);
}

}  // namespace
}  // namespace spatter
