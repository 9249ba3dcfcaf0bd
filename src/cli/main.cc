// lockstep: the client.
#include "cli/commands.h"

int main(int argc, char** argv) {
  return lockstep::cli::run(argc, argv);
}
