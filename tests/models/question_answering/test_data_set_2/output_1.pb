B
end_logitsJv›>‘ï7?