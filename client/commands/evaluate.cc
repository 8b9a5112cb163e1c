// SPDX-License-Identifier: Apache-2.0
#include "client/commands/evaluate.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/evaluation.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

struct EvaluateFlags {
  std::string dataset;
  std::string range;
  std::string protocol = "full-stream";
  int32_t shards = 1;
  std::vector<std::string> addresses;
  std::string resume_file;
  bool progress = false;
};

const std::map<std::string, v1::EvaluationProtocol>& Protocols() {
  static const auto* const protocols =
      new std::map<std::string, v1::EvaluationProtocol>{
          {"full-stream", v1::EVALUATION_PROTOCOL_FULL_STREAM},
          {"block-streams", v1::EVALUATION_PROTOCOL_BLOCK_STREAMS},
          {"fairseq", v1::EVALUATION_PROTOCOL_REFERENCE_F},
          {"original", v1::EVALUATION_PROTOCOL_REFERENCE_O},
          {"kimiyoung", v1::EVALUATION_PROTOCOL_REFERENCE_K}};
  return *protocols;
}

std::string ProtocolName(v1::EvaluationProtocol wanted) {
  for (const auto& [name, protocol] : Protocols()) {
    if (protocol == wanted) return name;
  }
  return v1::EvaluationProtocol_Name(wanted);
}

// BEGIN:END; an empty side stands for the data set's own. False: neither.
bool ParseRange(const std::string& text, int64_t* begin, int64_t* end) {
  const std::vector<std::string> sides = absl::StrSplit(text, ':');
  if (sides.size() != 2) return false;
  *begin = 0;
  *end = -1;
  if (!sides[0].empty() && !absl::SimpleAtoi(sides[0], begin)) return false;
  if (!sides[1].empty() && !absl::SimpleAtoi(sides[1], end)) return false;
  return *begin >= 0 && (sides[1].empty() || *end >= *begin);
}

std::string CheckRange(const std::string& text) {
  int64_t begin = 0;
  int64_t end = 0;
  return ParseRange(text, &begin, &end)
             ? ""
             : "range " + text + ": want BEGIN:END with 0 <= BEGIN <= END";
}

std::string CheckProtocol(const std::string& text) {
  if (Protocols().count(text) != 0) return "";
  std::string names;
  for (const auto& [name, protocol] : Protocols()) names += " " + name;
  return "protocol " + text + ": want one of" + names;
}

void PrintJson(const EvaluationOrder& order, const EvaluationTotal& total,
               double seconds, double bytes_per_second, std::ostream& out) {
  out << Json{{"dataset", order.dataset},
              {"begin", total.begin},
              {"end", total.end},
              {"byte_count", total.byte_count},
              {"total_bits", total.bits.bits()},
              {"bits_per_byte", total.bits_per_byte()},
              {"accumulator", total.bits.ToString()},
              {"protocol", ProtocolName(total.protocol)},
              {"model", total.model_version},
              {"digest", total.model_digest},
              {"numerics", total.numerics},
              {"seconds", seconds},
              {"bytes_per_second", bytes_per_second}}
      << "\n";
}

void PrintText(const EvaluationOrder& order, const EvaluationTotal& total,
               double seconds, double bytes_per_second, std::ostream& out) {
  out << absl::StrFormat("%s, bytes %d to %d, %s\n", order.dataset, total.begin,
                         total.end, ProtocolName(total.protocol))
      << absl::StrFormat("model %s, digest %s, %s\n", total.model_version,
                         total.model_digest, total.numerics)
      << absl::StrFormat("%.1f s, %s/s\n", seconds,
                         FormatBytes(bytes_per_second))
      << absl::StrFormat("%.6f bits per byte (%d bytes, %.3f bits)\n",
                         total.bits_per_byte(), total.byte_count,
                         total.bits.bits());
}

Progress::Mode ProgressMode(const EvaluateFlags& flags,
                            const Console& console) {
  if (console.err_is_terminal) return Progress::Mode::kTerminal;
  return flags.progress ? Progress::Mode::kLines : Progress::Mode::kNone;
}

absl::Status RunEvaluate(const EvaluateFlags& flags, const CommonFlags& common,
                         Console& console) {
  EvaluationOrder order;
  order.model = common.model;
  order.dataset = flags.dataset;
  order.protocol = Protocols().at(flags.protocol);
  order.shard_count = flags.shards;
  if (!flags.range.empty()) ParseRange(flags.range, &order.begin, &order.end);

  std::vector<std::unique_ptr<Client>> owned;
  std::vector<Client*> clients;
  ClientOptions options = MakeClientOptions(common, absl::InfiniteDuration());
  std::vector<std::string> addresses = flags.addresses;
  if (addresses.empty()) addresses.push_back(common.address);
  for (const std::string& address : addresses) {
    options.address = address;
    owned.push_back(std::make_unique<Client>(options));
    clients.push_back(owned.back().get());
  }

  Progress progress(console.err, ProgressMode(flags, console));
  Evaluation::Options evaluation_options;
  evaluation_options.resume_file = flags.resume_file;
  evaluation_options.on_progress = [&](const Progress::State& state) {
    progress.Update(state);
  };
  Evaluation evaluation(order, clients, std::move(evaluation_options));
  const absl::Time begin = absl::Now();
  const absl::StatusOr<EvaluationTotal> total = evaluation.Run();
  progress.Finish();
  SPANLM_RETURN_IF_ERROR(total.status());

  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const double speed = seconds > 0 ? evaluation.fresh_bytes() / seconds : 0;
  if (common.json) {
    PrintJson(order, *total, seconds, speed, console.out);
  } else {
    PrintText(order, *total, seconds, speed, console.out);
  }
  return CheckWritten(console);
}

}  // namespace

void AddEvaluateCommand(CLI::App* app, Invocation* invocation) {
  auto flags = std::make_shared<EvaluateFlags>();
  CLI::App* command = app->add_subcommand(
      "evaluate", "Measure bits per byte on a data set of the server's");
  command
      ->add_option("DATASET", flags->dataset,
                   "A file's path below the server's --dataset-root")
      ->required();
  command
      ->add_option("--range", flags->range,
                   "Bytes BEGIN:END to score; an empty side is the file's")
      ->check(CheckRange);
  command
      ->add_option("--protocol", flags->protocol,
                   "full-stream; of block-streams, fairseq, original and "
                   "kimiyoung a server says if it has them")
      ->check(CheckProtocol)
      ->capture_default_str();
  command
      ->add_option("--shards", flags->shards,
                   "Cut the range into this many parts and run them at once; "
                   "the sum is the same to the last bit")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--addresses", flags->addresses,
                   "Servers A,B,... that share the shards, in place of "
                   "--address")
      ->delimiter(',');
  command->add_option("--resume", flags->resume_file,
                      "Keep the state in this file, and go on from it if it "
                      "is there");
  command->add_flag("--progress", flags->progress,
                    "Print a line each percent where stderr is no terminal");
  command->footer(
      "Examples:\n"
      "  spanlm evaluate sample.txt\n"
      "  spanlm evaluate enwik8 --range 95000000:100000000 --shards 2 \\\n"
      "      --addresses 10.0.0.1:50051,10.0.0.2:50051 --resume state.json");
  command->callback([flags, invocation] {
    invocation->run = [flags](const CommonFlags& common, Console& console) {
      return RunEvaluate(*flags, common, console);
    };
  });
}

}  // namespace spanlm
