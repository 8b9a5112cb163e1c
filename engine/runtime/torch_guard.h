// SPDX-License-Identifier: Apache-2.0
// Where LibTorch's exceptions end: the only `catch` of engine/ and train/.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// Runs `body`, which returns a Status or StatusOr, and turns what LibTorch
// throws into a Status that starts with `where`: kResourceExhausted where
// memory ran out, else kInternal.
template <typename Body>
auto GuardTorch(absl::string_view where, Body&& body) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat(where, ": ", error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    return absl::InternalError(
        absl::StrCat(where, ": ", error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(where, ": out of memory"));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(where, ": ", error.what()));
  }
}

}  // namespace spanlm
