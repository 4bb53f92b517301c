// What the sandbox carries in itself: the bytes of files below inside/ and of programs made of them.
#pragma once

#include <string_view>

namespace spatter::cycles {

std::string_view confine_program();  ///< inside/confine.c, built
std::string_view piece_runtime();    ///< inside/piece.c
std::string_view piece_header();     ///< inside/wasm-rt.h
std::string_view piece_access();     ///< inside/access.h

}  // namespace spatter::cycles
