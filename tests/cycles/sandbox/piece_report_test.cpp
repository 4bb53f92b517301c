#include "cycles/piece_report.h"

#include <gtest/gtest.h>

namespace spatter::cycles {
namespace {

Bytes good() {
  Bytes bytes(piece_report_bytes);
  std::ranges::copy(std::string_view("SPR1"), bytes.begin());
  bytes[4] = 1;
  bytes[8] = 3;
  bytes[12] = 7;
  bytes[16] = 0x10, bytes[23] = 1;
  bytes[24] = 5;
  bytes[32] = 6;
  return bytes;
}

TEST(PieceReport, IsReadFieldByField) {
  const auto report = parse_piece_report(good());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->end, PieceReport::End::trapped);
  EXPECT_EQ(report->detail_in_words(), "division by zero");
  EXPECT_EQ(report->exit_code, 7u);
  EXPECT_EQ(report->fuel, 0x0100000000000010u);
  EXPECT_EQ(report->output_bytes, 5u);
  EXPECT_EQ(report->log_bytes_dropped, 6u);
}

TEST(PieceReport, WhatIsNoneIsRefused) {
  auto bytes = good();
  EXPECT_FALSE(parse_piece_report({}));
  EXPECT_FALSE(parse_piece_report(ByteView(bytes).first(39)));
  bytes.push_back(0);
  EXPECT_FALSE(parse_piece_report(bytes));
  bytes = good();
  bytes[0] = 'x';
  EXPECT_FALSE(parse_piece_report(bytes));
  bytes = good();
  bytes[4] = 6;
  EXPECT_FALSE(parse_piece_report(bytes));
  bytes = good();
  bytes[8] = 200;
  EXPECT_EQ(parse_piece_report(bytes)->detail_in_words(), "unknown trap");
}

}  // namespace
}  // namespace spatter::cycles
