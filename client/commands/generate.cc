// SPDX-License-Identifier: Apache-2.0
#include "client/commands/generate.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

struct GenerateFlags {
  std::string prompt;
  std::string prompt_file;
  int64_t max_bytes = 256;
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<int64_t> seed;
  std::vector<std::string> stops;
  std::string session;
  bool log_probs = false;
};

struct Generated {
  std::string data;  // kept for --json only
  int64_t byte_count = 0;
  std::vector<double> byte_bits;
  double bits = 0;
  v1::GenerationFinish finish;
  absl::Time begin_time = absl::Now();
  absl::Time first_byte_time = absl::InfiniteFuture();
};

absl::StatusOr<v1::GenerateStreamRequest> MakeRequest(
    const GenerateFlags& flags, const CommonFlags& common) {
  v1::GenerateStreamRequest request;
  request.set_model(common.model);
  request.set_prompt(flags.prompt);
  if (!flags.prompt_file.empty()) {
    SPANLM_ASSIGN_OR_RETURN(*request.mutable_prompt(),
                            ReadInput(flags.prompt_file));
  }
  if (!flags.session.empty()) request.set_session(flags.session);
  v1::SamplingOptions* sampling = request.mutable_sampling();
  if (flags.temperature) sampling->set_temperature(*flags.temperature);
  if (flags.top_k) sampling->set_top_k(*flags.top_k);
  if (flags.top_p) sampling->set_top_p(*flags.top_p);
  if (flags.min_p) sampling->set_min_p(*flags.min_p);
  if (flags.repetition_penalty) {
    sampling->set_repetition_penalty(*flags.repetition_penalty);
  }
  if (flags.seed) sampling->set_seed(*flags.seed);
  request.mutable_stop()->set_max_bytes(flags.max_bytes);
  for (const std::string& stop : flags.stops) {
    request.mutable_stop()->add_sequences(stop);
  }
  request.mutable_output()->set_log_probs(flags.log_probs);
  return request;
}

// FINISH_REASON_MAX_BYTES is "max_bytes".
std::string FinishName(v1::FinishReason reason) {
  const std::string name = v1::FinishReason_Name(reason);
  return absl::AsciiStrToLower(absl::StripPrefix(name, "FINISH_REASON_"));
}

void Take(const v1::GenerateStreamResponse& message, bool keep_data,
          Generated* generated) {
  if (!message.data().empty() && generated->byte_count == 0) {
    generated->first_byte_time = absl::Now();
  }
  generated->byte_count += static_cast<int64_t>(message.data().size());
  if (keep_data) generated->data += message.data();
  for (const float log_prob : message.log_probs()) {
    const double bits = BitsOf(log_prob);
    generated->bits += bits;
    if (keep_data) generated->byte_bits.push_back(bits);
  }
  if (message.has_finish()) generated->finish = message.finish();
}

void PrintJson(const GenerateFlags& flags, const Generated& generated,
               double seconds, std::ostream& out) {
  Json json{{"data_base64", absl::Base64Escape(generated.data)},
            {"byte_count", generated.byte_count},
            {"finish", FinishName(generated.finish.reason())},
            {"seed", generated.finish.seed()}};
  if (flags.log_probs) json["byte_bits"] = generated.byte_bits;
  if (generated.byte_count > 0) {
    json["time_to_first_byte_ms"] = absl::ToDoubleMilliseconds(
        generated.first_byte_time - generated.begin_time);
  } else {
    json["time_to_first_byte_ms"] = nullptr;
  }
  json["bytes_per_second"] = seconds > 0 ? generated.byte_count / seconds : 0;
  out << json << "\n";
}

void PrintSummary(const GenerateFlags& flags, const Generated& generated,
                  double seconds, std::ostream& err) {
  err << absl::StrFormat(
      "\n%d bytes, %s, seed %d, %.1f bytes/s", generated.byte_count,
      FinishName(generated.finish.reason()), generated.finish.seed(),
      seconds > 0 ? generated.byte_count / seconds : 0);
  if (flags.log_probs && generated.byte_count > 0) {
    err << absl::StrFormat(", %.4f bits per byte",
                           generated.bits / generated.byte_count);
  }
  err << std::endl;
}

absl::Status RunGenerate(const GenerateFlags& flags, const CommonFlags& common,
                         Console& console) {
  SPANLM_ASSIGN_OR_RETURN(const v1::GenerateStreamRequest request,
                          MakeRequest(flags, common));
  Client client(MakeClientOptions(common, absl::InfiniteDuration()));
  Generated generated;
  SPANLM_RETURN_IF_ERROR(client.GenerateStream(
      request, [&](const v1::GenerateStreamResponse& message) {
        Take(message, common.json, &generated);
        if (common.json) return absl::OkStatus();
        console.out.write(message.data().data(),
                          static_cast<int64_t>(message.data().size()));
        return CheckWritten(console);
      }));
  const double seconds =
      absl::ToDoubleSeconds(absl::Now() - generated.begin_time);
  if (common.json) {
    PrintJson(flags, generated, seconds, console.out);
  } else {
    PrintSummary(flags, generated, seconds, console.err);
  }
  return CheckWritten(console);
}

void AddSamplingOptions(CLI::App* command, GenerateFlags* flags) {
  command->add_option("--temperature", flags->temperature,
                      "0 is always the likeliest byte (default 1)");
  command->add_option("--top-k", flags->top_k,
                      "Keep the k likeliest bytes; 0 keeps all (default)");
  command->add_option("--top-p", flags->top_p,
                      "Keep the likeliest bytes up to this probability "
                      "(default 1)");
  command->add_option("--min-p", flags->min_p,
                      "Drop bytes below this times the best one's "
                      "probability (default 0)");
  command->add_option("--repetition-penalty", flags->repetition_penalty,
                      "Divide the odds of recent bytes by this (default 1)");
  command->add_option("--seed", flags->seed,
                      "The same seed gives the same bytes; drawn by the "
                      "server and reported if not given");
}

}  // namespace

void AddGenerateCommand(CLI::App* app, Invocation* invocation) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command =
      app->add_subcommand("generate", "Let the model go on with a text");
  CLI::Option* prompt =
      command->add_option("--prompt", flags->prompt, "The text to go on with");
  command
      ->add_option("--prompt-file", flags->prompt_file,
                   "A file with the text to go on with")
      ->check(CLI::ExistingFile)
      ->excludes(prompt);
  command
      ->add_option("--max-bytes", flags->max_bytes,
                   "Most bytes to generate; a server gives up to 1048576")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  AddSamplingOptions(command, flags.get());
  command->add_option("--stop", flags->stops,
                      "End before this text; may be given up to 16 times");
  command->add_option("--session", flags->session,
                      "Go on from this session and append to it");
  command->add_flag("--log-probs", flags->log_probs,
                    "Also report the bits of the bytes under the model");
  command->footer(
      "The bytes go to stdout as they come, a summary to stderr.\n\n"
      "Example:\n"
      "  spanlm generate --prompt 'The history of ' --max-bytes 300 \\\n"
      "      --temperature 0.7 --seed 42");
  command->callback([flags, invocation] {
    invocation->run = [flags](const CommonFlags& common, Console& console) {
      return RunGenerate(*flags, common, console);
    };
  });
}

}  // namespace spanlm
