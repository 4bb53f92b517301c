// Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves Revisited" (2008), for a = -1. The
// addition is complete: it holds for any two points, equal, opposite and neutral ones included.
#include "edwards25519.h"

#include <vector>

#include "base/error.h"
#include "crypto/key.h"

namespace spatter::curve {
namespace {

constexpr Field d{{0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff}};
constexpr Field d2{{0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff}};
constexpr Field root_of_minus_one{
    {0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d}};
constexpr Point neutral{field_zero, field_one, field_one, field_zero};
constexpr Addend neutral_addend{field_one, field_one, field_one, field_zero};

/// What an addition or doubling ends with, before its last products: (x / z, y / t).
struct Sum {
  Field x, y, z, t;
};

Point whole(const Sum& s) { return {mul(s.x, s.t), mul(s.y, s.z), mul(s.z, s.t), mul(s.x, s.y)}; }

/// Without t, for a doubling that follows.
Point without_t(const Sum& s) { return {mul(s.x, s.t), mul(s.y, s.z), mul(s.z, s.t), field_zero}; }

Addend addend(const Point& p) { return {add(p.y, p.x), sub(p.y, p.x), p.z, mul(p.t, d2)}; }

Addend negated(const Addend& a) { return {a.difference, a.sum, a.z, negate(a.t2d)}; }

Sum doubled(const Point& p) {
  const Field xx = square(p.x), yy = square(p.y), zz = square(p.z);
  const Field y = add(yy, xx), z = sub(yy, xx);
  return {sub(square(add(p.x, p.y)), y), y, z, sub(add(zz, zz), z)};
}

Sum added(const Point& p, const Addend& q) {
  const Field a = mul(sub(p.y, p.x), q.difference), b = mul(add(p.y, p.x), q.sum);
  const Field c = mul(p.t, q.t2d), zz = mul(p.z, q.z), dd = add(zz, zz);
  return {sub(b, a), add(b, a), add(dd, c), sub(dd, c)};
}

Point doubled_times(Point p, int times) {
  for (int i = 1; i < times; ++i) p = without_t(doubled(p));
  return whole(doubled(p));
}

// Secrets: sixty-four digits from -8 to 8, each looked up by reading the whole table.

std::array<std::int8_t, 64> signed_digits(const Scalar& secret) {
  std::array<std::int8_t, 64> digits;
  for (std::size_t i = 0; i < 32; ++i) {
    digits[2 * i] = static_cast<std::int8_t>(secret[i] & 15);
    digits[2 * i + 1] = static_cast<std::int8_t>(secret[i] >> 4);
  }
  int carry = 0;
  for (std::size_t i = 0; i < 63; ++i) {
    const int digit = digits[i] + carry;
    carry = (digit + 8) >> 4;
    digits[i] = static_cast<std::int8_t>(digit - 16 * carry);
  }
  digits[63] = static_cast<std::int8_t>(digits[63] + carry);
  return digits;
}

void assign_if(std::uint64_t mask, Addend& a, const Addend& b) {
  assign_if(mask, a.sum, b.sum);
  assign_if(mask, a.difference, b.difference);
  assign_if(mask, a.z, b.z);
  assign_if(mask, a.t2d, b.t2d);
}

/// All ones when a == b, else zero; both below 2^32.
std::uint64_t equal_mask(std::uint64_t a, std::uint64_t b) { return 0 - (((a ^ b) - 1) >> 63); }

Addend looked_up(const std::array<Addend, 8>& table, std::int8_t digit) {
  const std::uint64_t negative = static_cast<std::uint64_t>(static_cast<std::int64_t>(digit) >> 63);
  const std::uint64_t size = (static_cast<std::uint64_t>(static_cast<std::int64_t>(digit)) ^ negative) - negative;
  Addend result = neutral_addend;
  for (std::uint64_t i = 0; i < table.size(); ++i) assign_if(equal_mask(size, i + 1), result, table[i]);
  assign_if(negative, result, negated(result));
  return result;
}

// Public values: digits that are odd or zero, few of them not zero, from tables of odd multiples.

/// Odd multiples 1, 3, 5, ... of a point. A table of n entries serves digits up to 2 n - 1; n is a
/// power of two.
std::vector<Addend> odd_multiples(const Point& point, std::size_t count) {
  std::vector<Addend> table;
  table.reserve(count);
  table.push_back(addend(point));
  const Addend twice = addend(whole(doubled(point)));
  Point multiple = point;
  while (table.size() < count) {
    multiple = whole(added(multiple, twice));
    table.push_back(addend(multiple));
  }
  return table;
}

/// One of the products that are summed.
struct Term {
  std::span<const Addend> table;
  std::array<std::int8_t, 256> digits;
};

/// Non-adjacent form with the window that suits the table: from the lowest bit up, an odd remainder
/// gives the digit that is congruent to it and leaves zeros in the bits it covers.
Term term(const Scalar& scalar, std::span<const Addend> table, bool negative) {
  Term result{table, {}};
  const int window = 2 * static_cast<int>(table.size());  // digits are in (-window, window)
  std::array<std::uint8_t, 257> bit{};
  for (std::size_t i = 0; i < 256; ++i) bit[i] = scalar[i / 8] >> (i % 8) & 1;
  for (std::size_t i = 0; i < 256;) {
    if (bit[i] == 0) {
      ++i;
      continue;
    }
    int digit = 0;
    std::size_t width = 0;
    for (int value = 1; value < 2 * window; value *= 2, ++width)
      if (i + width < bit.size()) digit += bit[i + width] * value;
    if (digit > window) {
      digit -= 2 * window;
      std::size_t carry = i + width;  // the borrowed bit goes up until it finds a zero
      while (bit[carry] == 1) bit[carry++] = 0;
      bit[carry] = 1;
    }
    result.digits[i] = static_cast<std::int8_t>(negative ? -digit : digit);
    i += width;
  }
  return result;
}

Point sum_of_products(std::span<const Term> terms) {
  int top = 255;
  const auto idle = [&](int i) {
    for (const Term& t : terms)
      if (t.digits[static_cast<std::size_t>(i)] != 0) return false;
    return true;
  };
  while (top >= 0 && idle(top)) --top;
  Point sum = neutral;
  for (int i = top; i >= 0; --i) {
    Sum last = doubled(sum);
    for (const Term& t : terms) {
      const int digit = t.digits[static_cast<std::size_t>(i)];
      if (digit == 0) continue;
      const Addend& multiple = t.table[static_cast<std::size_t>((digit < 0 ? -digit : digit) / 2)];
      last = added(whole(last), digit < 0 ? negated(multiple) : multiple);
    }
    sum = i == 0 ? whole(last) : without_t(last);
  }
  return sum;
}

constexpr std::size_t point_table = 8;   // made for each product
constexpr std::size_t base_table = 32;   // made once

/// The base point and 2^128 times it: a scalar's halves are then summed side by side.
struct BaseTables {
  std::vector<Addend> low, high;
  BaseTables() {
    Encoded bytes;
    bytes.fill(0x66);
    bytes[0] = 0x58;  // y = 4/5
    const std::optional<Point> base = decode(bytes);
    SPATTER_ASSERT(base.has_value());
    low = odd_multiples(*base, base_table);
    high = odd_multiples(doubled_times(*base, 128), base_table);
  }
};

const BaseTables& base_tables() {
  static const BaseTables tables;
  return tables;
}

}  // namespace

std::optional<Point> decode(const Encoded& bytes) {
  const Field y = from_bytes(bytes);
  const bool negative = bytes[31] >> 7;
  Encoded canonical = to_bytes(y);
  canonical[31] |= bytes[31] & 0x80;
  if (canonical != bytes) return std::nullopt;
  const Field yy = square(y), u = sub(yy, field_one), v = add(mul(yy, d), field_one);
  const Field v3 = mul(square(v), v);
  Field x = mul(mul(u, v3), power_for_root(mul(u, mul(square(v3), v))));
  const Field vxx = mul(v, square(x));
  if (!is_zero(sub(vxx, u))) {
    if (!is_zero(add(vxx, u))) return std::nullopt;
    x = mul(x, root_of_minus_one);
  }
  if (is_zero(x) && negative) return std::nullopt;
  if (is_odd(x) != negative) x = negate(x);
  return Point{x, y, field_one, mul(x, y)};
}

void encode(std::span<const Point> points, std::span<Encoded> out) {
  SPATTER_ASSERT(points.size() == out.size());
  // Montgomery's trick: the inverse of the product of all z gives the inverse of each.
  std::vector<Field> products(points.size());
  Field product = field_one;
  for (std::size_t i = 0; i < points.size(); ++i) {
    products[i] = product;
    product = mul(product, points[i].z);
  }
  Field inverse = invert(product);
  for (std::size_t i = points.size(); i-- > 0;) {
    const Field one_over_z = mul(inverse, products[i]);
    inverse = mul(inverse, points[i].z);
    out[i] = to_bytes(mul(points[i].y, one_over_z));
    out[i][31] |= static_cast<std::uint8_t>(is_odd(mul(points[i].x, one_over_z)) << 7);
  }
}

Point times_cofactor(const Point& point) { return doubled_times(point, 3); }

bool is_neutral(const Point& point) { return is_zero(point.x) && is_zero(sub(point.y, point.z)); }

SecretMultiples::SecretMultiples(const Point& point) {
  table_[0] = addend(point);
  Point multiple = point;
  for (std::size_t i = 1; i < table_.size(); ++i) {
    multiple = whole(added(multiple, table_[0]));
    table_[i] = addend(multiple);
  }
}

Point SecretMultiples::times(const Scalar& secret) const {
  std::array<std::int8_t, 64> digits = signed_digits(secret);
  Point result = neutral;
  for (std::size_t i = 64; i-- > 0;)
    result = whole(added(doubled_times(result, 4), looked_up(table_, digits[i])));
  wipe({reinterpret_cast<std::uint8_t*>(digits.data()), digits.size()});
  return result;
}

Point base_minus(const Scalar& s, const Scalar& c, const Point& p) {
  Scalar low{}, high{};
  std::copy_n(s.begin(), 16, low.begin());
  std::copy_n(s.begin() + 16, 16, high.begin());
  const std::vector<Addend> table = odd_multiples(p, point_table);
  const BaseTables& base = base_tables();
  const Term terms[] = {term(low, base.low, false), term(high, base.high, false), term(c, table, true)};
  return sum_of_products(terms);
}

Point combine(const Scalar& s, const Point& p, const Scalar& c, const Point& q) {
  const std::vector<Addend> p_table = odd_multiples(p, point_table), q_table = odd_multiples(q, point_table);
  const Term terms[] = {term(s, p_table, false), term(c, q_table, true)};
  return sum_of_products(terms);
}

}  // namespace spatter::curve
