# How every target of Spatter is built, and the four ways of making one:
# spatter_room, spatter_test, spatter_bench and spatter_fuzz.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")  # assertions stay on

add_compile_definitions(
  ASIO_STANDALONE ASIO_NO_DEPRECATED ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_COROUTINE=1
  SPDLOG_FMT_EXTERNAL SPDLOG_COMPILED_LIB FMT_DEPRECATED_OSTREAM _FILE_OFFSET_BITS=64)
add_compile_options(-Wall -Wextra -Wpedantic -Wno-missing-field-initializers -fno-omit-frame-pointer
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # Staleness of the precompiled header is for ninja and ccache to know, not for clang's check of times.
  # Nothing names it by an absolute path.
  set(CMAKE_CXX_COMPILE_OPTIONS_CREATE_PCH
      -Xclang -emit-pch -Xclang -include -Xclang pch.h -x c++-header)
  set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -Xclang -include-pch -Xclang <PCH_FILE>)
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp" "SHELL:-Xclang -fno-validate-pch")
  add_compile_options(-Wno-gnu-zero-variadic-macro-arguments)
  add_link_options(-fuse-ld=lld-19 -Wl,--threads=2)
endif()
if(SPATTER_FUZZ)
  add_compile_options(-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
elseif(SPATTER_SANITIZE)
  add_compile_options(-O1 -fsanitize=address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(Protobuf REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(isal REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(miniupnpc REQUIRED IMPORTED_TARGET miniupnpc)

# spatter_prefer_archive(TARGET ARCHIVE)
# Links an imported library from its archive instead of the shared library, where the system has it:
# a command of a few milliseconds would spend most of them on loading and relocating.
function(spatter_prefer_archive target archive)
  find_library(SPATTER_ARCHIVE_${archive} NAMES lib${archive}.a)
  set(path ${SPATTER_ARCHIVE_${archive}})
  if(NOT path OR SPATTER_FUZZ OR SPATTER_SANITIZE)
    return()
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL INTERFACE_LIBRARY)  # pkg-config's
    set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES ${path})
    return()
  endif()
  get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
  foreach(configuration IN LISTS configurations)
    if(configuration)
      set_target_properties(${target} PROPERTIES IMPORTED_LOCATION_${configuration} ${path})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${path})
endfunction()
spatter_prefer_archive(OpenSSL::SSL ssl)
spatter_prefer_archive(OpenSSL::Crypto crypto)
spatter_prefer_archive(protobuf::libprotobuf-lite protobuf-lite)
spatter_prefer_archive(SQLite::SQLite3 sqlite3)
spatter_prefer_archive(PkgConfig::sodium sodium)
spatter_prefer_archive(PkgConfig::zstd zstd)
add_link_options(-Wl,--as-needed)

find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)

# spatter_room(NAME SOURCES file... USES target...)
# A room is one static library. Others may include only what is below include/.
function(spatter_room name)
  cmake_parse_arguments(arg "" "" "SOURCES;USES" ${ARGN})
  if(name STREQUAL spatter)  # the program has that name too
    set(name room_spatter)
  endif()
  if(NOT arg_SOURCES)  # interfaces alone
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE include)
    target_link_libraries(${name} INTERFACE ${arg_USES})
    if(name STREQUAL room_spatter)
      add_library(spatter ALIAS room_spatter)
    endif()
    return()
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC include PRIVATE .)
  target_link_libraries(${name} PUBLIC ${arg_USES})
  if(name STREQUAL base)
    target_precompile_headers(base PRIVATE pch.h)
  else()
    target_precompile_headers(${name} REUSE_FROM base)
  endif()
  if(name STREQUAL room_spatter)
    add_library(spatter ALIAS room_spatter)
  endif()
endfunction()

# spatter_test(NAME SOURCES file... USES target... [LABELS label...] [TIMEOUT seconds])
# One GoogleTest executable, one ctest entry.
function(spatter_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;USES;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_USES} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM base)
  add_test(NAME ${name} COMMAND ${name})
  # One seed for the properties here, so that a run can be compared with the last; run the test by
  # itself to try others.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "unit;${arg_LABELS}"
    ENVIRONMENT "RC_PARAMS=seed=4840")
endfunction()

# spatter_bench(NAME SOURCES file... USES target...)
# One Google Benchmark executable; ctest runs it for an instant so that it never rots.
function(spatter_bench name)
  cmake_parse_arguments(arg "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_USES} benchmark::benchmark benchmark::benchmark_main)
  target_precompile_headers(${name} REUSE_FROM base)
  add_test(NAME ${name} COMMAND ${name} --benchmark_min_time=0.001)
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS bench)
endfunction()

# spatter_fuzz(NAME SOURCES file... USES target...)
# One libFuzzer target, built in the tree that has SPATTER_FUZZ on. The main tree's ctest runs it for
# some seconds, from the seeds in fuzz/<room>/corpus/NAME if there are any.
function(spatter_fuzz name)
  cmake_parse_arguments(arg "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_USES})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_precompile_headers(${name} REUSE_FROM base)
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
    file(WRITE ${SPATTER_FUZZ_TESTS} "")
  endif()
  add_dependencies(fuzzers ${name})
  set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  if(NOT EXISTS ${seeds})
    set(seeds "")
  endif()
  set(grown ${CMAKE_BINARY_DIR}/corpus/${name})
  file(MAKE_DIRECTORY ${grown})
  file(APPEND ${SPATTER_FUZZ_TESTS}
    "add_test(${name} ${CMAKE_BINARY_DIR}/${name} -max_total_time=4 -rss_limit_mb=1024 -timeout=10"
    " -artifact_prefix=${grown}- ${grown} ${seeds})\n"
    "set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS fuzz)\n")
endfunction()

# Where the fuzz tree says what ctest runs of it, and where the main tree looks for that.
if(SPATTER_FUZZ)
  set(SPATTER_FUZZ_TESTS ${CMAKE_BINARY_DIR}/fuzz_tests.cmake)
else()
  set(wrapper ${CMAKE_BINARY_DIR}/include_fuzz_tests.cmake)
  file(WRITE ${wrapper} "if(EXISTS \"${CMAKE_BINARY_DIR}/fuzz/fuzz_tests.cmake\")\n"
    "  include(\"${CMAKE_BINARY_DIR}/fuzz/fuzz_tests.cmake\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${wrapper})
endif()
