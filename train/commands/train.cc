// SPDX-License-Identifier: Apache-2.0
#include "train/commands/train.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "train/commands/train_flags.h"
#include "train/exit_codes.h"
#include "train/inert_flags.h"
#include "train/process_group.h"
#include "train/trainer.h"

namespace spanlm {
namespace {

std::atomic<bool> stop_requested{false};

void RequestStop(int /*signal*/) { stop_requested.store(true); }

absl::StatusOr<TrainEnd> RunTraining(const TrainFlags& flags) {
  SPANLM_ASSIGN_OR_RETURN(const TrainOptions options, ResolveTrainFlags(flags));
  // An update's large tensors would go back to the kernel after each use and
  // come again as zeroed pages.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  at::set_num_interop_threads(1);
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit says so
  std::signal(SIGTERM, RequestStop);
  std::signal(SIGINT, RequestStop);
  SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<ProcessGroup> group,
                          ProcessGroup::FromEnvironment(flags.device));
  if (group->is_first()) ReportInertFlags(flags.without_effect);
  SPANLM_ASSIGN_OR_RETURN(
      const std::unique_ptr<Trainer> trainer,
      Trainer::Create(options, &stop_requested, group.get()));
  return trainer->Run();
}

// Adds the flags given that are the other architecture's: those whose help
// begins with its name.
void NoteFlagsOfOtherArch(const CLI::App& command, TrainFlags* flags) {
  const std::string other =
      flags->arch == "adaptive_span" ? "transformer_xl" : "adaptive_span";
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0 ||
        !absl::StartsWith(option->get_description(), other + ": ")) {
      continue;
    }
    flags->without_effect.push_back(
        absl::StrCat(option->get_name(), ": belongs to --arch ", other));
  }
}

int Train(const TrainFlags& flags) {
  const absl::StatusOr<TrainEnd> end = RunTraining(flags);
  if (!end.ok()) return Report(end.status());
  return *end == TrainEnd::kStopped ? kExitStopped : kExitDone;
}

}  // namespace

void AddTrainCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = app.add_subcommand("train", "Trains a model.");
  AddTrainFlags(command, flags.get());
  command->callback([command, flags, exit_code] {
    NoteFlagsOfOtherArch(*command, flags.get());
    *exit_code = Train(*flags);
  });
}

}  // namespace spanlm
