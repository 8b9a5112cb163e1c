// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

#include "server/metrics/scraped_family.h"

namespace spanlm {
namespace {

// /proc/self/stat after the command's name, which may hold spaces: field 3 on
// (man 5 proc).
std::vector<double> ReadStatFields() {
  std::ifstream file("/proc/self/stat");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const size_t end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return {};
  std::istringstream rest(text.substr(end_of_name + 1));
  std::string state;
  rest >> state;
  return std::vector<double>(std::istream_iterator<double>(rest), {});
}

std::optional<double> ReadBootTime() {
  std::ifstream file("/proc/stat");
  std::string word;
  double value = 0;
  while (file >> word) {
    if (word == "btime" && file >> value) return value;
  }
  return std::nullopt;
}

double CountOpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  // One of them is the folder itself.
  return error ? 0 : static_cast<double>(std::distance(begin(files), {})) - 1;
}

}  // namespace

std::vector<prometheus::MetricFamily> CollectProcessMetrics() {
  std::vector<prometheus::MetricFamily> families;
  const std::vector<double> fields = ReadStatFields();  // from field 4 on
  if (fields.size() >= 21) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
    families.push_back(SingleCounter("process_cpu_seconds_total",
                                     "CPU time, user and system.",
                                     (fields[10] + fields[11]) / ticks));
    families.push_back(SingleGauge("process_virtual_memory_bytes",
                                   "Virtual memory.", fields[19]));
    families.push_back(SingleGauge("process_resident_memory_bytes",
                                   "Resident memory.", fields[20] * page));
    if (const std::optional<double> boot = ReadBootTime()) {
      families.push_back(SingleGauge("process_start_time_seconds",
                                     "Start of the process, Unix time.",
                                     *boot + fields[18] / ticks));
    }
  }
  families.push_back(SingleGauge("process_open_fds", "Open file descriptors.",
                                 CountOpenFiles()));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(SingleGauge("process_max_fds",
                                   "Most file descriptors allowed.",
                                   static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace spanlm
