// The 24 words against BIP-39's published 256-bit vectors; how people write them; what is said when
// they are wrong.
#include "crypto/secret.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <sstream>

#include "crypto/kdf.h"
#include "hex.h"

namespace spatter {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string repeat(std::string_view word, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text.append(word).append(" ");
  return text;
}

std::vector<std::pair<std::string, std::string>> bip39_vectors() {
  return {{std::string(64, '0'), repeat("abandon", 23) + "art"},
          {std::string(64, 'f'), repeat("zoo", 23) + "vote"},
          {[] {
             std::string s;
             for (int i = 0; i < 32; ++i) s += "7f";
             return s;
           }(),
           "legal winner thank year wave sausage worth useful legal winner thank year wave sausage "
           "worth "
           "useful legal winner thank year wave sausage worth title"},
          {[] {
             std::string s;
             for (int i = 0; i < 32; ++i) s += "80";
             return s;
           }(),
           "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd "
           "amount doctor "
           "acoustic avoid letter advice cage absurd amount doctor acoustic bless"},
          {"68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c",
           "hamster diagram private dutch cause delay private meat slide toddler razor book happy "
           "fancy "
           "gospel tennis maple dilemma loan word shrug inflict delay length"},
          {"9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863",
           "panda eyebrow bullet gorilla call smoke muffin taste mesh discover soft ostrich "
           "alcohol speed "
           "nation flash devote level hobby quick inner drive ghost inside"},
          {"066dca1a2bb7e8a1db2832148ce9933eea0f3ac9548d793112d9a95c9407efad",
           "all hour make first leader extend hole alien behind guard gospel lava path output "
           "census museum "
           "junior mass reopen famous sing advance salt reform"},
          {"f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
           "void come effort suffer camp survey warrior heavy shoot primary clutch crush open "
           "amazing screen "
           "patrol group space point ten exist slush involve unfold"}};
}

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::string join(const std::vector<std::string>& words, std::string_view between = " ") {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : between).append(word);
  return text;
}

std::string complaint(const std::string& words) {
  auto secret = PersonSecret::from_words(words);
  if (secret) return "accepted";
  EXPECT_EQ(secret.error().code, Errc::invalid);
  return secret.error().message;
}

TEST(Words, Bip39VectorsBothWays) {
  for (const auto& [entropy, words] : bip39_vectors()) {
    const PersonSecret secret = PersonSecret::from_bytes(hex_key(entropy));
    EXPECT_EQ(secret.words(), words);
    auto back = PersonSecret::from_words(words);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, secret);
  }
}

TEST(Words, AnySecretComesBackHoweverItIsWritten) {
  EXPECT_TRUE(rc::check([] {
    SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
    const PersonSecret secret = PersonSecret::generate(random);
    std::string text;
    int number = 0;
    for (std::string word : split(secret.words())) {
      ++number;
      if (*rc::gen::arbitrary<bool>() && word.size() > 4)
        word.resize(*rc::gen::inRange<std::size_t>(4, word.size()));
      if (*rc::gen::arbitrary<bool>())
        for (char& c : word) c = static_cast<char>(std::toupper(c));
      if (*rc::gen::arbitrary<bool>()) text += std::to_string(number) + ". ";
      text += word + *rc::gen::element<std::string>(" ", "\n", "\r\n", "\t ", ", ", "\xC2\xA0",
                                                    "\xE3\x80\x80");
    }
    auto back = PersonSecret::from_words(text);
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == secret);
  }));
}

TEST(Words, AWrongWordIsNamedWithWhatItMayHaveBeen) {
  auto words = split(bip39_vectors()[4].second);
  words[6] = "aplpe";
  EXPECT_EQ(complaint(join(words)), "word 7 'aplpe' is not in the list; did you mean 'apple'?");
  words[6] = "PRIVTAE";
  EXPECT_EQ(complaint(join(words)), "word 7 'privtae' is not in the list; did you mean 'private'?");
  words[6] = "xqzwvk";
  EXPECT_EQ(complaint(join(words)), "word 7 'xqzwvk' is not in the list");
  words[6] = "pri";  // three letters could be several words
  EXPECT_THAT(complaint(join(words)), HasSubstr("word 7 'pri' is not in the list"));
}

TEST(Words, SeveralLikelyWordsAreAllOffered) {
  auto words = split(bip39_vectors()[4].second);
  words[6] = "aple";
  EXPECT_THAT(complaint(join(words)), AllOf(HasSubstr("word 7 'aple'"), HasSubstr("'apple'")));
}

TEST(Words, ASwapOrAnotherWordOfTheListFailsTheChecksum) {
  auto words = split(bip39_vectors()[4].second);
  std::swap(words[0], words[1]);
  EXPECT_THAT(complaint(join(words)), HasSubstr("checksum"));
  words = split(bip39_vectors()[0].second);
  words[23] = "zoo";
  EXPECT_THAT(complaint(join(words)), HasSubstr("checksum"));
}

TEST(Words, TooFewOrTooManyAreCounted) {
  auto words = split(bip39_vectors()[4].second);
  words.pop_back();
  EXPECT_EQ(complaint(join(words)), "24 recovery words are needed, 23 were given");
  EXPECT_EQ(complaint(""), "24 recovery words are needed, 0 were given");
  EXPECT_EQ(complaint("apple"), "24 recovery words are needed, 1 was given");
  words.push_back("apple");
  words.push_back("apple");
  EXPECT_EQ(complaint(join(words)), "24 recovery words are needed, 25 were given");
}

TEST(Words, WhatATerminalShouldNotGetIsNotRepeated) {
  auto words = split(bip39_vectors()[4].second);
  words[2] = "\x1b[31mred\x07" + std::string(1000, 'x');
  const std::string said = complaint(join(words));
  EXPECT_LT(said.size(), 200);
  EXPECT_EQ(said.find('\x1b'), std::string::npos);
  EXPECT_THAT(complaint(std::string(1 << 20, 'a')), HasSubstr("1048576 bytes"));
}

TEST(PersonSecret, KeysDependOnSecretLabelAndContext) {
  const PersonSecret one = PersonSecret::from_bytes(Key::from(counting(32)).value());
  const PersonSecret two = PersonSecret::from_bytes(Key());
  EXPECT_EQ(to_hex(one.derive("volume", as_bytes("abc")).view()),
            "f866867fa70e78d60d909194999335f62ff84ef1c9dc4ba25a58fa46d37da948");
  EXPECT_NE(one.derive("a"), two.derive("a"));
  EXPECT_NE(one.derive("a"), one.derive("b"));
  EXPECT_NE(one.derive("a", as_bytes("b")), one.derive("ab"));
  EXPECT_NE(one.derive("a", as_bytes("b")), one.derive("a", as_bytes("c")));
}

// Made by an independent implementation (Python: hashlib and cryptography) from docs/PROTOCOL.md.
TEST(PersonSecret, ThePersonsKeyIsAsThePageOfFormatsSays) {
  const PersonSecret secret = PersonSecret::from_bytes(Key::from(counting(32)).value());
  EXPECT_EQ(secret.person().hex(),
            "4d69e5d3705849fadae3727c7f64c7c2b4b342509cc216fe4c96f266516ecbca");
  EXPECT_EQ(to_hex(secret.signing_key().public_key()), secret.person().hex());
}

TEST(PersonSecret, NumberedSecretsAndTheRecoveryKeyStandApart) {
  const PersonSecret secret = PersonSecret::from_bytes(Key::from(counting(32)).value());
  EXPECT_EQ(secret.numbered(0), secret);
  EXPECT_EQ(to_hex(secret.numbered(1).bytes().view()),
            "1a7223f67485c4a9ac9344f68581bfe6500752b26690ee3094bf94dac823109a");
  EXPECT_NE(secret.numbered(1), secret.numbered(2));
  EXPECT_EQ(to_hex(secret.recovery_key().seed().view()),
            "21bd5392d040d55c3d9c24fba29902c7874d2f1f30c3036348dc19fa412ee4be");
  // What a stolen machine holds does not give the key that replaces it.
  EXPECT_NE(secret.numbered(1).recovery_key().public_key(), secret.recovery_key().public_key());
}

}  // namespace
}  // namespace spatter
