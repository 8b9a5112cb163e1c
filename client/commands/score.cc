// SPDX-License-Identifier: Apache-2.0
#include "client/commands/score.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "base/bits_total.h"
#include "base/status_macros.h"
#include "client/progress.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

// Above this a text is streamed; with a score for each byte the answer, four
// times as long, has to fit a message of the server's, too.
constexpr int64_t kMaxUnaryBytes = int64_t{1} << 20;
constexpr int64_t kMaxUnaryPerByte = int64_t{256} << 10;
constexpr int64_t kChunkBytes = int64_t{256} << 10;

struct ScoreFlags {
  std::string file;  // empty: standard input
  std::string context_file;
  bool per_byte = false;
  bool stream = false;
};

struct Score {
  int64_t byte_count = 0;
  BitsTotal bits;
  bool greedy = false;
  std::string model;
  std::string digest;
  std::string numerics;
};

// The text, read as it is needed. One thread at a time.
class TextReader {
 public:
  TextReader(std::istream& in, std::string name, int64_t size)
      : in_(in), name_(std::move(name)), size_(size) {}

  // Up to `count` bytes; fewer at the end only.
  absl::StatusOr<std::string> Read(int64_t count) {
    std::string bytes = pushed_back_.substr(0, count);
    pushed_back_.erase(0, bytes.size());
    const int64_t begin = bytes.size();
    if (begin == count) return bytes;
    bytes.resize(count);
    in_.read(bytes.data() + begin, count - begin);
    bytes.resize(begin + in_.gcount());
    if (in_.bad()) return absl::UnavailableError(name_ + " cannot be read");
    return bytes;
  }
  // The next Reads begin with these bytes. None may be pushed back already.
  void PushBack(std::string bytes) { pushed_back_ = std::move(bytes); }
  int64_t size() const { return size_; }  // -1: not known

 private:
  std::istream& in_;
  const std::string name_;
  const int64_t size_;
  std::string pushed_back_;
};

// Prints one line a byte, or gathers for JSON.
class ByteBits {
 public:
  ByteBits(bool wanted, bool json, std::ostream& out)
      : wanted_(wanted), json_(json), out_(out) {}

  template <typename LogProbs>
  void Add(const LogProbs& log_probs) {
    if (!wanted_) return;
    for (const float log_prob : log_probs) {
      if (json_) {
        bits_.push_back(BitsOf(log_prob));
      } else {
        out_ << absl::StrFormat("%d\t%.4f\n", count_, BitsOf(log_prob));
      }
      ++count_;
    }
  }
  const std::vector<double>& bits() const { return bits_; }

 private:
  const bool wanted_;
  const bool json_;
  std::ostream& out_;
  int64_t count_ = 0;
  std::vector<double> bits_;
};

void SetOutput(const ScoreFlags& flags, v1::ScoreOutput* output) {
  output->set_per_byte(flags.per_byte);
  output->set_is_greedy(true);
}

absl::StatusOr<Score> ScoreAtOnce(const ScoreFlags& flags,
                                  const CommonFlags& common, std::string text,
                                  ByteBits* byte_bits) {
  v1::ScoreRequest request;
  request.set_model(common.model);
  v1::ScoreItem* item = request.add_items();
  item->set_continuation(std::move(text));
  if (!flags.context_file.empty()) {
    SPANLM_ASSIGN_OR_RETURN(*item->mutable_context(),
                            ReadInput(flags.context_file));
  }
  SetOutput(flags, request.mutable_output());
  Client client(MakeClientOptions(common, absl::InfiniteDuration()));
  SPANLM_ASSIGN_OR_RETURN(const v1::ScoreResponse response,
                          client.Score(request));
  if (response.results_size() != 1) {
    return absl::InternalError("the server answered another number of items");
  }
  const v1::ScoreResult& result = response.results(0);
  if (result.has_status() && result.status().code() != 0) {
    return absl::Status(static_cast<absl::StatusCode>(result.status().code()),
                        result.status().message());
  }
  byte_bits->Add(result.log_probs());
  Score score;
  score.byte_count = result.byte_count();
  score.bits = BitsTotal::FromHighLow(result.accumulator().high(),
                                      result.accumulator().low());
  score.greedy = result.greedy();
  score.model = response.model_version();
  score.digest = response.model_digest();
  score.numerics = response.numerics();
  return score;
}

absl::StatusOr<Score> ScoreInStream(const ScoreFlags& flags,
                                    const CommonFlags& common, TextReader* text,
                                    ByteBits* byte_bits, Console& console) {
  v1::ScoreStreamRequest::Open open;
  open.set_model(common.model);
  SetOutput(flags, open.mutable_output());
  if (flags.per_byte) open.set_unit(v1::ScoreStreamRequest::UNIT_BYTE);
  Progress progress(console.err, console.err_is_terminal
                                     ? Progress::Mode::kTerminal
                                     : Progress::Mode::kNone);
  const auto on_answer = [&](const v1::ScoreStreamResponse& answer) {
    byte_bits->Add(answer.log_probs());
    Progress::State state;
    state.done_bytes = answer.position();
    state.total_bytes = text->size();
    if (answer.position() > 0) {
      state.bits_per_byte = answer.total_bits() / answer.position();
    }
    progress.Update(state);
    return absl::OkStatus();
  };
  Client client(MakeClientOptions(common, absl::InfiniteDuration()));
  const absl::StatusOr<v1::ScoreStreamResponse> last = client.ScoreStream(
      open, [&] { return text->Read(kChunkBytes); }, on_answer);
  progress.Finish();
  SPANLM_RETURN_IF_ERROR(last.status());
  Score score;
  score.byte_count = last->position();
  score.bits = BitsTotal::FromHighLow(last->accumulator().high(),
                                      last->accumulator().low());
  score.greedy = last->greedy();
  score.model = last->summary().model_version();
  score.digest = last->summary().model_digest();
  score.numerics = last->summary().numerics();
  return score;
}

double BitsPerByte(const Score& score) {
  return score.byte_count == 0 ? 0 : score.bits.bits() / score.byte_count;
}

void PrintJson(const ScoreFlags& flags, const Score& score,
               const ByteBits& byte_bits, std::ostream& out) {
  Json json{{"byte_count", score.byte_count},
            {"bits", score.bits.bits()},
            {"bits_per_byte", BitsPerByte(score)},
            {"log_prob_nats", 0.0 - score.bits.nats()},
            {"greedy", score.greedy},
            {"model", score.model},
            {"digest", score.digest},
            {"numerics", score.numerics},
            {"accumulator", score.bits.ToString()}};
  if (flags.per_byte) json["byte_bits"] = byte_bits.bits();
  out << json << "\n";
}

// Bytes of a text that is not streamed.
int64_t MostAtOnce(const ScoreFlags& flags) {
  return flags.per_byte ? kMaxUnaryPerByte : kMaxUnaryBytes;
}

std::string ContextRule(int64_t at_once) {
  return absl::StrFormat(
      "--context-file goes with a text of at most %d bytes and without "
      "--stream",
      at_once);
}

// −1: not known.
int64_t SizeOf(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  return error ? -1 : static_cast<int64_t>(size);
}

absl::Status RunScore(const ScoreFlags& flags, const CommonFlags& common,
                      Console& console) {
  std::ifstream file;
  int64_t size = -1;
  if (!flags.file.empty()) {
    file.open(flags.file, std::ios::binary);
    if (!file.is_open()) {
      return absl::UnavailableError(flags.file + " cannot be read");
    }
    size = SizeOf(flags.file);
  }
  TextReader reader(flags.file.empty() ? console.in : file,
                    flags.file.empty() ? "standard input" : flags.file, size);
  const int64_t at_once = MostAtOnce(flags);
  SPANLM_ASSIGN_OR_RETURN(std::string begin, reader.Read(at_once + 1));

  ByteBits byte_bits(flags.per_byte, common.json, console.out);
  absl::StatusOr<Score> score;
  if (!flags.stream && static_cast<int64_t>(begin.size()) <= at_once) {
    score = ScoreAtOnce(flags, common, std::move(begin), &byte_bits);
  } else if (!flags.context_file.empty()) {
    return absl::InvalidArgumentError(ContextRule(at_once));
  } else {
    reader.PushBack(std::move(begin));
    score = ScoreInStream(flags, common, &reader, &byte_bits, console);
  }
  SPANLM_RETURN_IF_ERROR(score.status());
  if (common.json) {
    PrintJson(flags, *score, byte_bits, console.out);
  } else {
    console.out << absl::StrFormat(
        "%.6f bits per byte (%d bytes, %.3f bits, %s)\n", BitsPerByte(*score),
        score->byte_count, score->bits.bits(), score->model);
  }
  return CheckWritten(console);
}

}  // namespace

void AddScoreCommand(CLI::App* app, Invocation* invocation) {
  auto flags = std::make_shared<ScoreFlags>();
  CLI::App* command = app->add_subcommand(
      "score", "Measure how well the model predicts a text");
  command->add_option("FILE", flags->file, "The text; without it stdin")
      ->check(CLI::ExistingFile);
  command->add_flag("--per-byte", flags->per_byte,
                    "Also print the bits of every byte");
  CLI::Option* stream = command->add_flag(
      "--stream", flags->stream,
      "Send the text in chunks; chosen by itself above 1 MiB");
  // After the options that its check looks at.
  command
      ->add_option("--context-file", flags->context_file,
                   "A file that is read first and not scored")
      ->check(CLI::ExistingFile)
      ->check([flags = flags.get()](const std::string& /*file*/) {
        const int64_t at_once = MostAtOnce(*flags);
        return SizeOf(flags->file) > at_once ? ContextRule(at_once) : "";
      })
      ->excludes(stream);
  command->footer(
      "Examples:\n"
      "  spanlm score book.txt\n"
      "  printf 'mat.' | spanlm score --context-file beginning.txt --json");
  command->callback([flags, invocation] {
    invocation->run = [flags](const CommonFlags& common, Console& console) {
      return RunScore(*flags, common, console);
    };
  });
}

}  // namespace spanlm
