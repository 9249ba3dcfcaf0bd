// Every command with its options and examples as one page of Markdown: docs/cli.md, which a test compares.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace lockstep::cli {

std::string reference_page(const CLI::App& root);

}  // namespace lockstep::cli
