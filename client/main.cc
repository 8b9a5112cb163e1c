// SPDX-License-Identifier: Apache-2.0
// spanlm: a SpanLM server's client on the command line.
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "client/cli.h"

int main(int argc, char** argv) {
  spanlm::Console console{std::cin, std::cout, std::cerr,
                          isatty(STDERR_FILENO) == 1};
  return spanlm::RunCli(std::vector<std::string>(argv + 1, argv + argc),
                        console);
}
