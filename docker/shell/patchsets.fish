# Completion for src/train.py, from the first prompt of every fish in the container.
if status is-interactive; and test -f /workspace/hydra/tab_completion_fish
    source /workspace/hydra/tab_completion_fish
end
