# Remove build folders and logs (the compiler cache stays; ccache -C empties it).
#
# usage: ./do clean [preset]
#
#   ./do clean            all of them
#   ./do clean tsan       one

command_main() {
  local folder=$build_root
  if [[ $# -gt 0 ]]; then
    is_preset "$1" || die "there is no preset '$1'" "presets: ${presets[*]}"
    folder=$(build_folder "$1")
  fi
  # Only what CMake or we made: a mistyped LOCKSTEP_BUILD_ROOT must not cost anyone a folder.
  if [[ -e $folder && ! -e $folder/CMakeCache.txt && ! -d $folder/logs ]]; then
    die "'$folder' does not look like a build folder" "remove it by hand if it is one"
  fi
  rm -rf -- "$folder"
  say "removed $folder"
}
