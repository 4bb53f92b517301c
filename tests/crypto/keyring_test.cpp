// Keyrings come back, plain and sealed, and every way in which one can be wrong says which it is.
#include "crypto/keyring.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "crypto/hash.h"
#include "hex.h"

namespace spatter {
namespace {

using testing::HasSubstr;

constexpr PassphraseCost cheap = {.memory_kib = 8, .passes = 1};

Keyring some_keyring(Random& random) {
  return {.person = PersonKeys::from_words(PersonSecret::generate(random), 3),
          .server_key = SigningKey::generate(random),
          .created_ms = 1'700'000'000'123,
          .name = "attic"};
}

bool same(const Keyring& a, const Keyring& b) {
  return a.person == b.person && a.changing == b.changing && a.server_key.seed() == b.server_key.seed() &&
         a.server_key.public_key() == b.server_key.public_key() && a.created_ms == b.created_ms &&
         a.name == b.name;
}

/// The bytes after a change, with a checksum that fits.
Bytes resealed(Bytes bytes) {
  bytes.resize(bytes.size() - 32);
  const Digest digest = sha256(bytes);
  bytes.insert(bytes.end(), digest.bytes.begin(), digest.bytes.end());
  return bytes;
}

class KeyringTest : public testing::Test {
 protected:
  SeededRandom random{7};
  Keyring keyring = some_keyring(random);
  Bytes plain = write_keyring(keyring, std::nullopt, random).value();
  Bytes sealed = write_keyring(keyring, "correct horse", random, cheap).value();
};

TEST_F(KeyringTest, PlainComesBack) {
  EXPECT_FALSE(keyring_is_sealed(plain));
  EXPECT_TRUE(same(read_keyring(plain, std::nullopt).value(), keyring));
  EXPECT_TRUE(same(read_keyring(plain, "not needed").value(), keyring));
  EXPECT_EQ(write_keyring(keyring, "", random).value(), plain);
}

TEST_F(KeyringTest, SealedComesBackWithItsPassphraseOnly) {
  EXPECT_TRUE(keyring_is_sealed(sealed));
  EXPECT_TRUE(same(read_keyring(sealed, "correct horse").value(), keyring));
  auto wrong = read_keyring(sealed, "Correct horse");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::denied);
  EXPECT_THAT(wrong.error().message, HasSubstr("wrong passphrase"));
  auto missing = read_keyring(sealed, std::nullopt);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::denied);
  EXPECT_THAT(missing.error().message, HasSubstr("passphrase is needed"));
}

TEST_F(KeyringTest, SealedAtTheDefaultCostComesBack) {
  const Bytes bytes = write_keyring(keyring, "correct horse", random).value();
  EXPECT_TRUE(same(read_keyring(bytes, "correct horse").value(), keyring));
}

TEST_F(KeyringTest, SealedShowsNothingOfWhatItHolds) {
  const std::string_view text = as_text(sealed);
  for (std::uint32_t number = 1; number <= keyring.person.count(); ++number)
    EXPECT_EQ(text.find(as_text(keyring.person.numbered(number).bytes().view())), std::string_view::npos);
  EXPECT_EQ(text.find(as_text(keyring.server_key.seed().view())), std::string_view::npos);
  EXPECT_EQ(text.find(keyring.name), std::string_view::npos);
}

TEST_F(KeyringTest, TwoSealingsDiffer) {
  EXPECT_NE(write_keyring(keyring, "correct horse", random, cheap).value(), sealed);
}

TEST_F(KeyringTest, AnyDamageIsToldFromAWrongPassphrase) {
  for (const Bytes& good : {plain, sealed}) {
    for (std::size_t at = 0; at < good.size(); ++at) {
      Bytes bad = good;
      bad[at] ^= 0x10;
      auto read = read_keyring(bad, "correct horse");
      ASSERT_FALSE(read) << "byte " << at;
      EXPECT_EQ(read.error().code, at < 8 ? Errc::invalid : Errc::corrupt) << "byte " << at;
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
      auto read = read_keyring(ByteView(good).first(size), "correct horse");
      ASSERT_FALSE(read) << size << " bytes";
      EXPECT_EQ(read.error().code, size < 8 ? Errc::invalid : Errc::corrupt) << size << " bytes";
    }
  }
}

TEST_F(KeyringTest, ANewerFormatIsNamed) {
  Bytes newer = plain;
  newer[8] = 4;
  auto read = read_keyring(resealed(newer), std::nullopt);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::newer_format);
  EXPECT_THAT(read.error().message, HasSubstr("format 4"));
  newer = plain;
  newer[11] = 1;
  EXPECT_EQ(read_keyring(resealed(newer), std::nullopt).error().code, Errc::newer_format);
  newer = plain;
  newer[10] = 9;
  EXPECT_EQ(read_keyring(resealed(newer), std::nullopt).error().code, Errc::newer_format);
}

TEST_F(KeyringTest, TheFormatThatDisownedNothingIsRead) {
  Bytes older(plain.begin(), plain.end() - Digest::size_bytes - 1);  // what came last is not there
  older[8] = 2;
  older.resize(older.size() + Digest::size_bytes);
  const auto read = read_keyring(resealed(older), std::nullopt);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(same(*read, keyring));
  EXPECT_EQ(read->disowned, 0u);
}

TEST_F(KeyringTest, DisownedKeysComeBackAndTheNewestIsNeverOne) {
  keyring.person = PersonKeys::from_words(PersonSecret::generate(random), 3);
  keyring.disowned = 2;
  EXPECT_EQ(read_keyring(write_keyring(keyring, std::nullopt, random).value(), std::nullopt).value().disowned, 2u);
  EXPECT_EQ(read_keyring(write_keyring(keyring, "x", random, {64, 1}).value(), "x").value().disowned, 2u);
  keyring.disowned = 3;
  const auto read = read_keyring(write_keyring(keyring, std::nullopt, random).value(), std::nullopt);
  EXPECT_EQ(read.error().code, Errc::corrupt);
}

TEST_F(KeyringTest, TheFormatThatHeldTheWordsIsRefused) {
  plain[8] = 1;
  const auto read = read_keyring(resealed(plain), std::nullopt);
  EXPECT_EQ(read.error().code, Errc::invalid);
  EXPECT_THAT(read.error().message, HasSubstr("format 1"));
}

TEST_F(KeyringTest, TheWordsOwnBytesAndTheRecoveryKeyAreNotInIt) {
  const auto words = PersonSecret::generate(random);
  keyring.person = PersonKeys::from_words(words, PersonKeys::count_max);
  keyring.changing = true;
  const Bytes bytes = write_keyring(keyring, std::nullopt, random).value();
  const auto back = read_keyring(bytes, std::nullopt).value();
  EXPECT_TRUE(same(back, keyring));
  EXPECT_EQ(as_text(bytes).find(as_text(words.bytes().view())), std::string_view::npos);
  EXPECT_EQ(as_text(bytes).find(as_text(words.recovery_key().seed().view())), std::string_view::npos);
  // No secret in it makes the recovery key, or a secret of a higher number.
  for (std::uint32_t number = 1; number < back.person.count(); ++number) {
    EXPECT_NE(sha256(back.person.numbered(number).recovery_key().public_key()), back.person.recovery());
    EXPECT_NE(back.person.numbered(number).numbered(1), back.person.numbered(number + 1));
  }
}

TEST_F(KeyringTest, SecretsThatCannotBeAreRefused) {
  constexpr std::size_t body = 12;
  for (const auto [at, value] : {std::pair(body, 0), {body, 2}, {body, 4}, {body, 65}, {body + 1, 2}}) {
    Bytes bad = plain;
    bad[at] = static_cast<std::uint8_t>(value);
    EXPECT_EQ(read_keyring(resealed(bad), std::nullopt).error().code, Errc::corrupt) << at << " " << value;
  }
  keyring.person = PersonKeys::from_words(PersonSecret::generate(random));
  keyring.changing = true;
  const auto changing_from_nothing = write_keyring(keyring, std::nullopt, random).value();
  EXPECT_EQ(read_keyring(changing_from_nothing, std::nullopt).error().code, Errc::corrupt);
}

TEST(PersonKeys, ArePersonsByTheirFirst) {
  SeededRandom random(3);
  const auto words = PersonSecret::generate(random);
  auto keys = PersonKeys::from_words(words);
  const auto person = keys.person();
  EXPECT_EQ(person, words.numbered(1).person());
  EXPECT_NE(person, words.person()) << "the words' own bytes sign nothing";
  keys.extend(words, 3);
  EXPECT_EQ(keys.person(), person);
  EXPECT_EQ(keys.count(), 3u);
  EXPECT_EQ(keys.newest(), words.numbered(3));
  EXPECT_EQ(keys.number_of(words.numbered(2).person()), 2u);
  EXPECT_EQ(keys.number_of(words.person()), std::nullopt);
  EXPECT_EQ(keys.recovery(), sha256(words.recovery_key().public_key()));
  EXPECT_TRUE(keys.come_from(words));
  EXPECT_FALSE(keys.come_from(words.numbered(1))) << "what a machine holds is not the words";
  keys.extend(words, 2);
  EXPECT_EQ(keys.count(), 3u) << "none is taken away";
}

TEST_F(KeyringTest, FormatZeroWasNeverWritten) {
  plain[8] = 0;
  EXPECT_EQ(read_keyring(resealed(plain), std::nullopt).error().code, Errc::corrupt);
}

TEST_F(KeyringTest, AFileCannotMakeUsSpendWithoutBound) {
  Bytes greedy = sealed;
  greedy[12] = greedy[13] = greedy[14] = greedy[15] = 0xFF;  // memory_kib
  EXPECT_EQ(read_keyring(resealed(greedy), "correct horse").error().code, Errc::invalid);
  greedy = sealed;
  greedy[19] = 0xFF;  // passes
  EXPECT_EQ(read_keyring(resealed(greedy), "correct horse").error().code, Errc::invalid);
}

TEST_F(KeyringTest, ATooLongNameIsRefused) {
  keyring.name = std::string(256, 'x');
  EXPECT_EQ(write_keyring(keyring, std::nullopt, random).error().code, Errc::invalid);
  keyring.name.pop_back();
  const Bytes bytes = write_keyring(keyring, "p", random, cheap).value();
  EXPECT_TRUE(same(read_keyring(bytes, "p").value(), keyring));
}

TEST_F(KeyringTest, ForeignBytesWithAGoodChecksumNeverPass) {
  EXPECT_TRUE(rc::check([this] {
    Bytes bytes = *rc::gen::element(plain, sealed);
    const auto keep = *rc::gen::inRange<std::size_t>(8, bytes.size() - 32);
    bytes.resize(keep);
    const Bytes tail = *rc::gen::arbitrary<Bytes>();
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    bytes.resize(bytes.size() + 32);
    const auto read = read_keyring(resealed(bytes), std::nullopt);
    if (read) RC_ASSERT(write_keyring(*read, std::nullopt, random).value() == resealed(bytes));
  }));
}

}  // namespace
}  // namespace spatter
