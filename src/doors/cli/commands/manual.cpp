// spatter completion, man: the command line described to shells and to people.
#include <iostream>

#include "cli/context.h"
#include "cli/describe.h"

#ifndef SPATTER_VERSION
#define SPATTER_VERSION "unknown"
#endif

namespace spatter::doors {

namespace {

/// The program by the name it is installed under, however it was called.
CommandInfo describe_program(const CLI::App& app) {
  auto program = describe(app);
  program.name = "spatter";
  return program;
}

}  // namespace

void add_completion(CLI::App& app, Context& context) {
  auto shell = std::make_shared<std::string>();
  auto* command = add_command(app, context, "completion", "Print a script that makes your shell complete these commands",
                              [&app, shell]() -> Result<void> {
                                std::cout << completion_script(describe_program(app), *shell);
                                return {};
                              });
  command->add_option("shell", *shell, "The shell that reads the script")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

void add_man(CLI::App& app, Context& context) {
  add_command(app, context, "man", "Print the manual page, in roff", [&app]() -> Result<void> {
    std::cout << man_page(describe_program(app), SPATTER_VERSION);
    return {};
  });
}

}  // namespace spatter::doors
