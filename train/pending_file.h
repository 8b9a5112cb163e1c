// SPDX-License-Identifier: Apache-2.0
// A file that is written piece by piece and is there only when it is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// Takes its name only in Commit; until then, and for good if it is never
// called, nothing of that name changes. Every error is kUnavailable and names
// the file. One thread at a time.
class PendingFile {
 public:
  // Opens a temporary file beside `path`; if that fails, the calls below say
  // so.
  explicit PendingFile(std::string path);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  // Adds bytes at the end.
  absl::Status Append(absl::string_view bytes);
  // Replaces bytes, or reads them, within what has been appended.
  absl::Status WriteAt(int64_t offset, absl::string_view bytes);
  absl::Status ReadAt(int64_t offset, char* bytes, size_t size);

  // Syncs, renames and syncs the folder. Nothing else may follow.
  absl::Status Commit();

 private:
  absl::Status Flush();

  const std::string path_;
  const std::string temporary_;
  std::unique_ptr<std::FILE, decltype(&std::fclose)> file_;
  bool committed_ = false;
};

}  // namespace spanlm
