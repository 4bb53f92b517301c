// Announces what it reads: a line each of event, title and text, parted by tabs, until its input ends.
// `announce_tool [--command C] [--popup-within-ms N]`; the log goes to standard error.
#include <fmt/format.h>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "base/real_runtime.h"
#include "doors/announcer.h"

int main(int argc, char** argv) {
  using namespace spatter;
  doors::Announcer::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--command") options.command = argv[i + 1];
    else if (name == "--popup-within-ms") options.popup_within = std::chrono::milliseconds(std::atoi(argv[i + 1]));
  }
  Log log(LogLevel::debug, stderr_sink());
  doors::Announcer announcer(log, options);
  for (std::string line; std::getline(std::cin, line);) {
    doors::Announcement one;
    std::istringstream parts(line);
    std::getline(parts, one.event, '\t');
    std::getline(parts, one.title, '\t');
    std::getline(parts, one.text);
    announcer.announce(std::move(one));
  }
}
