# cmake -D OUT=embedded.cpp -D FILES="name;path;name;path..." -P embed.cmake
# A C++ file with a function per name that returns the bytes of the file at path.
set(text "#include \"embedded.h\"\n\nnamespace spatter::cycles {\n")
while(FILES)
  list(POP_FRONT FILES name path)
  file(SIZE ${path} size)
  file(READ ${path} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\"\n\"" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${bytes}")
  string(APPEND text "\nstd::string_view ${name}() {\n  static constexpr char bytes[] =\n\"${bytes}\";\n"
    "  return {bytes, ${size}};\n}\n")
endwhile()
file(WRITE ${OUT} "${text}\n}  // namespace spatter::cycles\n")
