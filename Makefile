# The commands of the house; each is one script or one preset.
.DEFAULT_GOAL := build
.PHONY: setup build demo test lint asan tsan fuzz cuda bench image

setup:
	@tools/setup.sh

build: setup
	@tools/build.sh release

demo: build
	@tools/demo.sh

test: build
	@tools/test.sh release

lint: setup
	@tools/lint.sh

asan: setup
	@tools/build.sh asan
	@tools/test.sh asan -LE 'lint|whole'

tsan: setup
	@tools/build.sh tsan
	@tools/test.sh tsan -LE lint

fuzz: setup
	@tools/fuzz.sh

cuda: setup
	@tools/cuda.sh

bench: build
	@tools/bench.sh

image:
	@tools/image.sh
