// Completion scripts for shells, made from the tree of commands.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace lockstep::cli {

std::string bash_completion(const CLI::App& root);
std::string zsh_completion(const CLI::App& root);
std::string fish_completion(const CLI::App& root);

}  // namespace lockstep::cli
